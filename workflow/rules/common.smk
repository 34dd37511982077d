# What the rules share: the checked config, the cohort's rows by shard, the command line of a job.

import atexit
import json
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from drrx.config import (
    STAGES,
    jitter_seed,
    load_config,
    stage_fingerprint,
    stage_settings,
    to_values,
)
from drrx.costs import format_summary, summarise_run, write_summary
from drrx.diffusion.registry import check_known
from drrx.errors import DrrxError
from drrx.io.child import tell_parent
from drrx.io.cohort import read_cohort
from drrx.io.faults import describe_fault
from drrx.io.files import read_json
from drrx.io.nodule_library_index import sign_library
from drrx.io.owner import take
from drrx.progress import Progress
from drrx.resources import estimate_job
from drrx.shards import (
    cases_by_shard,
    cohort_signature,
    plan_shards,
    read_shards,
    row_signature,
    write_shards,
)
from drrx.stages.inside import check_results

try:
    CONFIG = load_config(config)
    RESULTS = str(Path(CONFIG.results))
    # The example's cohort.tsv lies beside the Snakefile; all other paths are relative to the working folder.
    COHORT = Path(CONFIG.cohort)
    if not COHORT.exists() and CONFIG.cohort == "cohort.tsv":
        COHORT = Path(workflow.basedir, "cohort.tsv")
    ROWS = read_cohort(COHORT)
    check_results(Path(RESULTS))
    SHARD_TABLE = Path(RESULTS, "shards.tsv")
    OLD_SHARDS = read_shards(SHARD_TABLE)
    SHARD_OF_CASE = plan_shards(ROWS, OLD_SHARDS, CONFIG.shard_size)
except DrrxError as error:
    raise WorkflowError(str(error))

SHARDS = cases_by_shard(ROWS, SHARD_OF_CASE)
TRAIN = CONFIG.train
# In a container (--sdm apptainer) the image's own; else the Python that runs Snakemake, whatever PATH says.
CONTAINED = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
PYTHON = "python" if CONTAINED else sys.executable
LQ_MODELS = ("munit_lq", "ddpm_lq")
OWNER = None


def data_set(wildcards):
    """What the whole way makes. Snakemake asks for it when it begins to plan.

    In a run that will do something this is the moment to take the folder, so that a second run is told at once.
    """
    runs = workflow.is_main_process and workflow.executor_plugin and not workflow.dryrun
    if runs:
        take_results()
    if runs and not (workflow.dag_settings.until or workflow.dag_settings.omit_from):
        tell_parent(
            json.dumps({"results": str(Path(RESULTS).absolute())}).encode() + b"\n"
        )
    return f"{RESULTS}/dataset/manifest.json"


def stop(text):
    """End in one line: what a function of a rule raises, Snakemake shows with a traceback."""
    print(f"drrx: {text}", file=sys.stderr, flush=True)
    sys.exit(1)


def take_results():
    """Become the one run that writes into the folder of results; the jobs are told (drrx/io/owner.py)."""
    global OWNER
    if OWNER is not None:
        return
    folder = Path(RESULTS).absolute()
    try:
        OWNER = take(folder, by_force=os.environ.get("DRRX_BREAK_LOCK") == "yes")
    except DrrxError as error:
        stop(f"error [{error.code}]: {error}")
    except OSError as error:
        stop(tell_trouble(error))
    atexit.register(OWNER.give_back)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        # Until Snakemake's scheduler has a handler of its own; this one gives back, too.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    OWNER.export()
    OWNER.start_beating()
    if read_shards(SHARD_TABLE) != OLD_SHARDS:
        stop(
            "another run put cases into shards while this one was planned. Run it again."
        )


def tell_trouble(error):
    """A full disk and the like in a line: it ends the jobs that meet it, not what tells of them."""
    fault = describe_fault(error, Path(RESULTS))
    return f"error [{fault.code}]: {fault.found}. {fault.hint}"


def keep_shards():
    """Write down which case is in which shard."""
    try:
        write_shards(SHARD_TABLE, SHARD_OF_CASE)
    except OSError as error:
        stop(tell_trouble(error))


def give_back_results():
    """Let the next run have the folder."""
    if OWNER is not None:
        OWNER.give_back()


def run_stage(wildcards, threads):
    """Start of a job's command line.

    Because it asks for the threads, Snakemake takes it for derived and does not compare it with the last run:
    another folder, another environment or more cores make no result anew.
    """
    # -P: no module comes from the working folder, whatever lies there.
    command = [PYTHON, "-P", "-m", "drrx", "run-stage", "--cohort", str(COHORT)]
    command += ["--results", RESULTS, "--seed", str(CONFIG.seed), "--keep", CONFIG.keep]
    return f"NUMBA_NUM_THREADS={threads} {shlex.join(command)}"


def cases_of(wildcards):
    """Names of the shard's cases that are still in the cohort table."""
    return [row.case for row in SHARDS[wildcards.shard]]


def rows_of(wildcards):
    """Rows of the shard with size and time of change of the files they name."""
    return [row_signature(row) for row in SHARDS[wildcards.shard]]


def all_rows(wildcards):
    """A hash of all rows. As a function it costs the jobs of a cluster nothing that do not ask for it."""
    return cohort_signature(ROWS)


def memory_of(stage):
    """Memory in MB that the rule of a stage asks for; twice as much at each further attempt."""

    def memory(wildcards, attempt):
        return estimate_job(stage, rows_of_job(wildcards), CONFIG, attempt).mem_mb

    return memory


def minutes_of(stage):
    """Minutes that the rule of a stage asks for; twice as many at each further attempt."""

    def minutes(wildcards, attempt):
        return estimate_job(stage, rows_of_job(wildcards), CONFIG, attempt).runtime

    return minutes


def rows_of_job(wildcards):
    """Rows of the job's shard; of the whole table where it has none."""
    return SHARDS[wildcards.shard] if hasattr(wildcards, "shard") else ROWS


def masks_of(wildcards):
    """The users' own lung masks in the shard, with size and time of change."""
    return [row_signature(row) for row in SHARDS[wildcards.shard] if row.mask]


def signature_of_weights():
    """SHA-256 of the restorer's weights when they are not the delivered ones, which belong to the code.

    Weights that are there but are not what was recorded end the run before it begins; those that are not there yet
    may be what the run is to train.
    """
    weights = CONFIG.restore_cxr.weights
    try:
        return check_known(Path(weights)) if Path(weights).is_file() else ""
    except DrrxError as error:
        raise WorkflowError(str(error))


def signature_of_library():
    """SHA-256 over the files of the library of real nodules, where one is named."""
    try:
        folder = CONFIG.sample_nodules.nodule_library
        return sign_library(folder) if folder else ""
    except DrrxError as error:
        raise WorkflowError(str(error))


def training_films(wildcards):
    """The radiographs to learn from; an error that says what to set where there are none."""
    if not TRAIN.images:
        raise WorkflowError(
            "config train.images: found nothing; needed a table or folder of radiographs. "
            "Set train.images and train.drrs in config.yaml (docs/training.md)."
        )
    return TRAIN.images


def domain_options(wildcards):
    """The folders of DRRs, and the cases kept out, as options."""
    folders = [word for folder in TRAIN.drrs for word in ("--drrs", folder)]
    return shlex.join(
        [*folders, *(["--exclude", *TRAIN.held_out] if TRAIN.held_out else [])]
    )


def gpus_for(device):
    """GPUs that a job on such a device asks for; with `auto` too, as the machine that it will run on may have one."""
    return int(device != "cpu")


def train_with(threads):
    """Start of a training job's command line."""
    return f"OMP_NUM_THREADS={threads} {shlex.join([PYTHON, '-P', '-m', 'drrx'])}"


class Watch(threading.Thread):
    """Tells now and then how far the run is. It looks at the DAG in memory: no file system is asked."""

    EVERY_S = 10

    def __init__(self):
        super().__init__(daemon=True)
        self.jobs = {
            (job.rule.name, job.wildcards.get("shard", "")): job
            for job in workflow.dag.needrun_jobs()
            if job.rule.name in STAGES
        }
        seconds = {
            step: estimate_job(step[0], rows_of_job(job.wildcards), CONFIG).seconds
            for step, job in self.jobs.items()
        }
        num_cases = {shard: len(rows) for shard, rows in SHARDS.items()}
        self.progress = Progress(Path(RESULTS), num_cases, seconds)
        self.ended = threading.Event()

    def finished(self):
        return [step for step, job in self.jobs.items() if workflow.dag.finished(job)]

    def tell(self, state="running"):
        try:
            line = self.progress.tell(self.finished(), time.time(), state)
        except OSError as error:
            line = tell_trouble(error)
        print(f"drrx: {line}", file=sys.stderr, flush=True)

    def run(self):
        told = 0
        while not self.ended.wait(self.EVERY_S):
            number = len(self.finished())
            if number > told:
                self.tell()
            told = number

    def end(self, state):
        self.ended.set()
        self.join()
        if self.jobs:
            self.tell(state)


def start_watch():
    """Begin to tell how far the run is."""
    global WATCH
    WATCH = Watch()
    WATCH.start()


def tell_cost(state):
    """How far the run came, and a table of what each stage cost."""
    WATCH.end(state)
    summaries = summarise_run(Path(RESULTS), SHARDS)
    try:
        told = f"cost by stage in {write_summary(Path(RESULTS), summaries)}"
    except OSError as error:
        told = tell_trouble(error)
    return f"{format_summary(summaries)}\ndrrx: {told}"


def tell_outcome():
    """One line: where the data set is and what became of the cases."""
    summary = Path(RESULTS, "summary.json")
    if not summary.exists():
        return f"drrx: done as asked, no data set yet (run without a target for it); files in {RESULTS}"
    refused = read_json(summary).get("refused", [])
    names = ", ".join(f"{item['case']} ({item['code']})" for item in refused[:10])
    more = f" and {len(refused) - 10} more" if len(refused) > 10 else ""
    told = f"{len(refused)} refused: {names}{more}" if refused else "none refused"
    return f"drrx: data set in {RESULTS}/dataset (index.html), cases {told}; details in {summary}"
