"""docs/reliability.md names every code that a case can get."""

import ast
import re
from pathlib import Path

import drrx

ROOT = Path(drrx.__file__).parent
PAGES = ("reliability.md", "pipeline.md", "nodules.md")
#: Upper-case words that are no codes: names of the environment, of files' own types, of constants.
OTHERS = re.compile(r"(MET|DRRX|XDG|TRITON|CUDA|NUMBA|OMP|MKL|OPENBLAS|MALLOC)_.*|.*_(BYTES|COMPRESSION|STEPS)")


def find_codes():
    found = {}
    for folder in ("io", "anatomy", "stages", "diffusion"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and re.fullmatch(r"[A-Z0-9]{2,}(_[A-Z0-9]+)+", text):
                    found.setdefault(text, path.relative_to(ROOT).as_posix())
    return {code: place for code, place in found.items() if not OTHERS.fullmatch(code)}


def test_every_code_is_told_in_the_docs():
    codes = find_codes()
    assert len(codes) > 70, "the search finds codes"
    text = "".join((ROOT.parent / "docs" / page).read_text() for page in PAGES)
    assert {code: place for code, place in codes.items() if f"`{code}`" not in text} == {}


def test_no_code_is_told_that_no_case_can_get():
    table = (ROOT.parent / "docs" / "reliability.md").read_text().partition("Codes of refusals")[2]
    told = set(re.findall(r"`([A-Z0-9]{2,}(?:_[A-Z0-9]+)+)`", table.partition("### The battery")[0]))
    assert len(told) > 50
    assert told <= find_codes().keys()
