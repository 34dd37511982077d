# Two commands for a newcomer: `make demo` makes the example data set, `make test` runs the tests.
# Needs Python 3.11 or newer, make and git; everything else is installed into .venv.

VENV ?= .venv
CORES ?= 2
MINUTES ?= 30
KEEP ?= runs/fuzz
MAKEFLAGS += --no-print-directory
BIN = $(VENV)/bin
# A changed dependency makes a new stamp, and so a new installation.
KEY := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
DEMO = $(VENV)/.drrx-demo-$(KEY)
DEVELOP = $(VENV)/.drrx-develop-$(KEY)
SLURM = $(VENV)/.drrx-slurm-$(KEY)
# Readers that `make battery` compares with: apart, as dicom2nifti brings python-gdcm, which must not be beside drrx.
READERS = $(VENV)/readers-$(KEY)
# Packages of other Python installations must not shine through.
unexport PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE = 1

.PHONY: help demo test test-slurm test-faults fuzz battery check format clean distclean
.DEFAULT_GOAL := help

help:
	@echo 'make demo    set up .venv, run the example cohort (2 phantoms) on CORES=$(CORES), data set in results/dataset'
	@echo 'make test    set up .venv with the test tools, run the tests'
	@echo 'make test-slurm  the workflow on a SLURM cluster that is started for it (root, and the SLURM programs; 4 minutes)'
	@echo 'make test-faults  200 kill -9, 100 SIGTERM, full and read-only disks (half an hour; all of it as root only)'
	@echo 'make fuzz    damaged files for every reader, MINUTES=$(MINUTES) each; inputs of findings go to KEEP=$(KEEP)'
	@echo 'make battery  odd CTs through drrx, SimpleITK, dicom2nifti and dcm2niix; writes tables of docs/reliability.md (10 minutes)'
	@echo 'make check   formatting, types, import rules, workflow lint'
	@echo 'make format  put Python and Snakemake files into the house format'
	@echo 'make clean   remove caches (results/ and .venv stay); make distclean removes .venv too'

demo: $(DEMO)
	$(BIN)/snakemake --cores $(CORES) --rerun-incomplete --show-failed-logs
	@echo 'Data set: results/dataset (start with results/dataset/index.html). What happened to each case: results/summary.json'

test: $(DEVELOP)
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile

test-slurm: $(SLURM)
	$(BIN)/python -m pytest -m slurm -rs tests/test_slurm.py

test-faults: $(DEVELOP)
	$(BIN)/python -m tests.faults --kills 200 --terms 100 --full 20 --output faults.json

fuzz: $(DEVELOP)
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --keep $(KEEP)

battery: $(DEVELOP) $(READERS)
	$(BIN)/python -W ignore -m tests.battery --peers --python $(READERS)/bin/python --write docs/reliability.md

check: $(DEVELOP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy drrx
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(DEVELOP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

$(DEMO):
	@sh .ci/install $(VENV) .
	@touch $@

$(DEVELOP):
	@sh .ci/install $(VENV) '.[test,check]'
	@touch $@ $(DEMO)

$(SLURM):
	@sh .ci/install $(VENV) '.[test,slurm]'
	@touch $@ $(DEMO)

$(READERS):
	$(BIN)/python -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -c constraints.txt dcm2niix dicom2nifti nibabel simpleitk || \
		{ rm -rf $@; exit 1; }

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
