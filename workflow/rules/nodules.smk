# Nodules of each variant: records and patches.


rule sample_nodules:
    input:
        "<results>/records/segment_anatomy/{shard}.json",
    output:
        "<results>/records/sample_nodules/{shard}.json",
    log:
        "<logs>/sample_nodules/{shard}.log",
    benchmark:
        "<benchmarks>/sample_nodules/{shard}.tsv"
    priority: 2
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory_of("sample_nodules"),
        runtime=minutes_of("sample_nodules"),
    params:
        run=run_stage,
        cases=cases_of,
        seed=CONFIG.seed,
        settings=stage_settings(CONFIG, "sample_nodules"),
        library=signature_of_library(),
        code=stage_fingerprint("sample_nodules"),
    message:
        "Draw and place the nodules of shard {wildcards.shard}"
    shell:
        "{params.run} sample_nodules --cases {params.cases:q} --upstream {input:q} --settings {params.settings:q} "
        "--output {output:q} > {log:q} 2>&1"
