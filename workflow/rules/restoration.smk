# From the DRR to the enhanced radiograph. The model is loaded once per shard.


rule restore_cxr:
    input:
        "<results>/records/compose_drr/{shard}.json",
    output:
        "<results>/records/restore_cxr/{shard}.json",
    log:
        "<logs>/restore_cxr/{shard}.log",
    benchmark:
        "<benchmarks>/restore_cxr/{shard}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=gpus_for(CONFIG.restore_cxr.device),
    params:
        run=run_stage,
        cases=cases_of,
        seed=CONFIG.seed,
        weights=signature_of_weights(),
        settings=stage_settings(CONFIG, "restore_cxr"),
        code=stage_fingerprint("restore_cxr"),
    message:
        "Restore the radiographs of shard {wildcards.shard}"
    shell:
        "{params.run} restore_cxr --cases {params.cases:q} --upstream {input:q} --settings {params.settings:q} "
        "--output {output:q} > {log:q} 2>&1"
