# Training of the restorer, outside the data set's DAG: `snakemake --cores 2 train_restorer --config train=...`.
# Each job goes on from the checkpoint in its run folder. docs/training.md tells what each system learns.


wildcard_constraints:
    model="|".join(LQ_MODELS),
    system="ddpm_hq|bicubic",


localrules:
    train_restorer,


rule train_restorer:
    input:
        "<results>/training/evaluation/report.json",


rule train_lq:
    input:
        images=training_films,
    output:
        "<results>/training/{model}.safetensors",
    log:
        "<logs>/train_{model}.log",
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=1440,
        gpu=gpus_for(TRAIN.device),
    params:
        run=lambda wildcards, threads: train_with(threads),
        name=lambda wildcards: wildcards.model.replace("_", "-"),
        drrs=domain_options,
        folder="<results>/training/runs/{model}",
        minutes=TRAIN.minutes_lq,
        device=TRAIN.device,
    message:
        "Train {wildcards.model}"
    shell:
        "{params.run} train-{params.name} --images {input.images:q} {params.drrs} --output {output:q} "
        "--run-folder {params.folder:q} --minutes {params.minutes} --device {params.device} > {log:q} 2>&1"


rule make_lq:
    input:
        images=training_films,
        weights="<results>/training/{model}.safetensors",
    output:
        "<results>/training/pairs/{model}/pairs.csv",
    log:
        "<logs>/make_lq_{model}.log",
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=gpus_for(TRAIN.device),
    params:
        run=lambda wildcards, threads: train_with(threads),
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        copies=TRAIN.copies,
        device=TRAIN.device,
    message:
        "Make LQ copies of the radiographs with {wildcards.model}"
    shell:
        "{params.run} make-lq --model {wildcards.model} --weights {input.weights:q} --images {input.images:q} "
        "--output {params.folder:q} --copies {params.copies} --device {params.device} > {log:q} 2>&1"


rule train_system:
    input:
        images=training_films,
        pairs=lambda wildcards: (
            expand("<results>/training/pairs/{model}/pairs.csv", model=LQ_MODELS)
            if wildcards.system == "ddpm_hq"
            else []
        ),
    output:
        "<results>/training/{system}.safetensors",
    log:
        "<logs>/train_{system}.log",
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=2880,
        gpu=gpus_for(TRAIN.device),
    params:
        run=lambda wildcards, threads: train_with(threads),
        name=lambda wildcards: wildcards.system.replace("_", "-"),
        pairs=lambda wildcards, input: shlex.join(
            word
            for table in input.pairs
            for word in ("--pairs", str(Path(table).parent))
        ),
        folder="<results>/training/runs/{system}",
        minutes=TRAIN.minutes_hq,
        device=TRAIN.device,
    message:
        "Train {wildcards.system}"
    shell:
        "{params.run} train-{params.name} --images {input.images:q} {params.pairs} --output {output:q} "
        "--run-folder {params.folder:q} --minutes {params.minutes} --device {params.device} > {log:q} 2>&1"


rule evaluate_restorer:
    input:
        images=training_films,
        systems=expand(
            "<results>/training/{system}.safetensors", system=("ddpm_hq", "bicubic")
        ),
        degraders=expand("<results>/training/{model}.safetensors", model=LQ_MODELS),
    output:
        "<results>/training/evaluation/report.json",
    log:
        "<logs>/evaluate_restorer.log",
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=gpus_for(TRAIN.device),
    params:
        run=lambda wildcards, threads: train_with(threads),
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        device=TRAIN.device,
    message:
        "Measure the trained restorer beside its bicubic twin"
    shell:
        "{params.run} evaluate-restorer --images {input.images:q} --system mixed={input.systems[0]:q} "
        "--system bicubic={input.systems[1]:q} --degrader munit_lq={input.degraders[0]:q} "
        "--degrader ddpm_lq={input.degraders[1]:q} --parts matrix --output {params.folder:q} "
        "--device {params.device} > {log:q} 2>&1"
