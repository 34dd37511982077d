# Boxes, masks and numbers of each nodule; then all shards together as one data set.


rule annotate_cxr:
    input:
        "<results>/records/restore_cxr/{shard}.json",
    output:
        "<results>/records/annotate_cxr/{shard}.json",
    log:
        "<logs>/annotate_cxr/{shard}.log",
    benchmark:
        "<benchmarks>/annotate_cxr/{shard}.tsv"
    priority: 5
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory_of("annotate_cxr"),
        runtime=minutes_of("annotate_cxr"),
    params:
        run=run_stage,
        cases=cases_of,
        settings=stage_settings(CONFIG, "annotate_cxr"),
        code=stage_fingerprint("annotate_cxr"),
    message:
        "Annotate the radiographs of shard {wildcards.shard}"
    shell:
        "{params.run} annotate_cxr --cases {params.cases:q} --upstream {input:q} --settings {params.settings:q} "
        "--output {output:q} > {log:q} 2>&1"


rule collect_dataset:
    input:
        expand("<results>/records/annotate_cxr/{shard}.json", shard=SHARDS),
    output:
        manifest="<results>/dataset/manifest.json",
        annotations="<results>/dataset/annotations.json",
        index="<results>/dataset/index.html",
        contact_sheet=report(
            "<results>/dataset/contact_sheet.png",
            caption="../report/contact_sheet.rst",
            category="Images",
        ),
        images=report(
            "<results>/dataset/images.csv",
            caption="../report/images.rst",
            category="Tables",
        ),
        nodules=report(
            "<results>/dataset/nodules.csv",
            caption="../report/nodules.rst",
            category="Tables",
        ),
        summary="<results>/summary.json",
    log:
        "<logs>/collect_dataset.log",
    benchmark:
        "<benchmarks>/collect_dataset.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory_of("collect_dataset"),
        runtime=minutes_of("collect_dataset"),
    params:
        run=run_stage,
        rows=all_rows,
        settings=stage_settings(CONFIG, "collect_dataset"),
        code=stage_fingerprint("collect_dataset"),
    message:
        "Put the data set together"
    shell:
        "{params.run} collect_dataset --settings {params.settings:q} --output {output.manifest:q} "
        "> {log:q} 2>&1"


rule report:
    input:
        rules.collect_dataset.output,
