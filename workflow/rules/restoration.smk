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
    priority: 4
    conda:
        "../../environment.yml"
    # On a GPU the cores only read and write images.
    threads: 8 if CONFIG.restore_cxr.device in ("cpu", "auto") else 2
    resources:
        mem_mb=memory_of("restore_cxr"),
        runtime=minutes_of("restore_cxr"),
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
