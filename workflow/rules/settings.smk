# Looks at the files of settings before Snakemake reads config.yaml: what it takes for a template it would run.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

try:
    from drrx.errors import DrrxError
    from drrx.io.strict_yaml import check_yaml
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{sys.executable} runs Snakemake but cannot import {error.name}. Install drrx beside it: "
        "`make demo` or `pip install .`, then use the snakemake of that environment."
    )

# A config.yaml in the working folder wins over the one beside the Snakefile.
FOLDER = Path.cwd() if Path("config.yaml").exists() else Path(workflow.basedir)

try:
    for file in (FOLDER / "config.yaml", *workflow.overwrite_configfiles):
        check_yaml(Path(file))
except DrrxError as error:
    raise WorkflowError(str(error))
