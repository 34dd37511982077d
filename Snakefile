# From chest CTs to annotated, enhanced chest radiographs with lung nodules.
#
#   snakemake -n                                     what would be done
#   snakemake --cores 2                              the example cohort; data set in results/dataset
#   snakemake --cores 8 --config cohort=my.tsv results=out
#
# Every job is one stage over one shard of cases: `drrx run-stage` does the work, the rules know file names, settings
# and resources. docs/pipeline.md tells the stages, the files and how to use a cluster.

from pathlib import Path

from snakemake.utils import min_version, validate

min_version("9.20")


include: "workflow/rules/settings.smk"


configfile: str(FOLDER / "config.yaml")


include: "workflow/rules/common.smk"


config.update(to_values(CONFIG))
validate(config, "workflow/schemas/config.schema.json")


# Used with --sdm apptainer only: the image in the working folder (docs/cluster.md). Without it jobs run as they are.
container: "drrx.sif"


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


wildcard_constraints:
    shard=r"[A-Za-z0-9_.-]+",


localrules:
    all,
    report,


rule all:
    default_target: True
    input:
        data_set,


include: "workflow/rules/anatomy.smk"
include: "workflow/rules/nodules.smk"
include: "workflow/rules/radiographs.smk"
include: "workflow/rules/restoration.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/training.smk"


onstart:
    take_results()
    keep_shards()
    start_watch()


onsuccess:
    print(tell_cost("finished"))
    print(tell_outcome())
    give_back_results()


onerror:
    print(tell_cost("failed"))
    print(
        f"drrx: not finished. Run it again to go on; logs of the jobs in {RESULTS}/logs"
    )
    give_back_results()
