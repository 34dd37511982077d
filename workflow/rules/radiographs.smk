# From the CT to the DRR: one projection per view, one radiograph per variant and view.


rule project_ct:
    input:
        "<results>/records/segment_anatomy/{shard}.json",
    output:
        "<results>/records/project_ct/{shard}.json",
    log:
        "<logs>/project_ct/{shard}.log",
    benchmark:
        "<benchmarks>/project_ct/{shard}.tsv"
    priority: 2
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        mem_mb=memory_of("project_ct"),
        runtime=minutes_of("project_ct"),
        gpu=gpus_for(CONFIG.project_ct.device),
    params:
        run=run_stage,
        cases=cases_of,
        seed=jitter_seed(CONFIG),
        settings=stage_settings(CONFIG, "project_ct"),
        code=stage_fingerprint("project_ct"),
    message:
        "Project the CTs of shard {wildcards.shard}"
    shell:
        "{params.run} project_ct --cases {params.cases:q} --upstream {input:q} --settings {params.settings:q} "
        "--output {output:q} > {log:q} 2>&1"


rule compose_drr:
    input:
        "<results>/records/project_ct/{shard}.json",
        "<results>/records/sample_nodules/{shard}.json",
    output:
        "<results>/records/compose_drr/{shard}.json",
    log:
        "<logs>/compose_drr/{shard}.log",
    benchmark:
        "<benchmarks>/compose_drr/{shard}.tsv"
    priority: 3
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory_of("compose_drr"),
        runtime=minutes_of("compose_drr"),
    params:
        run=run_stage,
        cases=cases_of,
        seed=CONFIG.seed,
        settings=stage_settings(CONFIG, "compose_drr"),
        code=stage_fingerprint("compose_drr"),
    message:
        "Make the DRRs of shard {wildcards.shard}"
    shell:
        "{params.run} compose_drr --cases {params.cases:q} --upstream {input:q} --settings {params.settings:q} "
        "--output {output:q} > {log:q} 2>&1"
