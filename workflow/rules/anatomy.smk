# CT and anatomy of each case: canonical volume, case record, label map.
#
# The later a stage, the higher its `priority`: shards that were begun are finished before others are begun. So cases
# come to their end steadily, and with `keep: dataset` the disk holds intermediate files of few shards at a time.


rule read_ct:
    output:
        "<results>/records/read_ct/{shard}.json",
    log:
        "<logs>/read_ct/{shard}.log",
    benchmark:
        "<benchmarks>/read_ct/{shard}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory_of("read_ct"),
        runtime=minutes_of("read_ct"),
    params:
        run=run_stage,
        cases=cases_of,
        rows=rows_of,
        settings=stage_settings(CONFIG, "read_ct"),
        code=stage_fingerprint("read_ct"),
    message:
        "Read the CTs of shard {wildcards.shard}"
    shell:
        "{params.run} read_ct --cases {params.cases:q} --settings {params.settings:q} "
        "--output {output:q} > {log:q} 2>&1"


rule segment_anatomy:
    input:
        "<results>/records/read_ct/{shard}.json",
    output:
        "<results>/records/segment_anatomy/{shard}.json",
    log:
        "<logs>/segment_anatomy/{shard}.log",
    benchmark:
        "<benchmarks>/segment_anatomy/{shard}.tsv"
    priority: 1
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory_of("segment_anatomy"),
        runtime=minutes_of("segment_anatomy"),
    params:
        run=run_stage,
        cases=cases_of,
        masks=masks_of,
        settings=stage_settings(CONFIG, "segment_anatomy"),
        code=stage_fingerprint("segment_anatomy"),
    message:
        "Segment lungs, heart, vessels and bone in shard {wildcards.shard}"
    shell:
        "{params.run} segment_anatomy --cases {params.cases:q} --upstream {input:q} --settings {params.settings:q} "
        "--output {output:q} > {log:q} 2>&1"
