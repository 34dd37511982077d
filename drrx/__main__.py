"""``python -m drrx`` is the ``drrx`` command."""

import sys

from drrx.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
