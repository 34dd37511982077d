"""A hash of the code that a stage's results depend on."""

import functools
import hashlib
import re
from pathlib import Path

import drrx

_DATA = {
    "sample_nodules": ("radiograph/*.json",),
    "compose_drr": ("radiograph/*.json",),
    "restore_cxr": ("restorer/weights/*.safetensors",),
}
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?=drrx)(?P<module>[\w.]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*)|"
    r"import[ \t]+(?=drrx)(?P<plain>[\w.]+))",
    re.MULTILINE,
)


@functools.cache
def stage_fingerprint(stage: str) -> str:
    """Return a hash of the source files that ``stage``'s results depend on (hexadecimal, 16 digits).

    Snakemake does not see changes inside a package; this text among a rule's ``params`` makes it see them. The files
    are the stage's module below ``drrx/stages`` and all modules of drrx that it imports, directly or not, for
    ``sample_nodules`` and ``compose_drr`` the table of the beam and for ``restore_cxr`` the delivered weights.
    """
    root = Path(drrx.__file__).parent
    seen: set[Path] = set()
    waiting = [root / "stages" / "__init__.py", root / "stages" / f"{stage}.py"]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _imported_files(file, root)
    seen.update(path for pattern in _DATA.get(stage, ()) for path in root.glob(pattern))
    texts = (f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes() for file in sorted(seen))
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


@functools.cache
def _imported_files(file: Path, root: Path) -> list[Path]:
    """Return the files of the modules that ``file`` imports from the package at ``root``, read from its text."""
    found: list[Path] = []
    for match in _IMPORT.finditer(file.read_text(encoding="utf-8")):
        module, names = match["module"] or match["plain"], re.findall(r"\w+", match["names"] or "")
        for dotted in (module, *(f"{module}.{name}" for name in names)):
            parts = dotted.split(".")[1:]
            # Importing a module runs the __init__ of every package above it.
            steps = [root.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
            found += [file for step in steps for file in (step.with_suffix(".py"), step / "__init__.py")]
    return [path for path in dict.fromkeys(found) if path.is_file()]
