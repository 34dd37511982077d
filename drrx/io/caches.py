"""Where libraries keep what they compiled or fetched when the home folder is missing or may not be written."""

import os
import tempfile
from pathlib import Path


def place_caches() -> None:
    """Let numba, Snakemake, Matplotlib and Triton keep their files in the folder for temporary ones, if they must.

    Nothing changes where the user's own cache folder can be written. It is told by ``XDG_CACHE_HOME``, ``MPLCONFIGDIR``
    and ``TRITON_CACHE_DIR``, of which those that are set already stay; processes that are started take them over.
    """
    if _can_write(_home_cache()):
        return
    base = _own_folder()
    os.environ["XDG_CACHE_HOME"] = str(base)
    os.environ.setdefault("MPLCONFIGDIR", str(base / "matplotlib"))
    os.environ.setdefault("TRITON_CACHE_DIR", str(base / "triton"))


def _home_cache() -> Path:
    told = os.environ.get("XDG_CACHE_HOME", "")
    return Path(told) if told else Path(os.path.expanduser("~"), ".cache")  # noqa: PTH111


def _can_write(folder: Path) -> bool:
    """Return whether files can be made in ``folder``, which is made where there is none."""
    if not folder.parent.is_dir():  # HOME=/nonexistent, which root could make
        return False
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _own_folder() -> Path:
    """Return a folder that nobody else can have put anything into: what numba keeps there is run."""
    folder = Path(tempfile.gettempdir(), f"drrx-cache-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        told = folder.lstat()
        if folder.is_dir() and not folder.is_symlink() and told.st_uid == os.getuid() and not told.st_mode & 0o077:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="drrx-cache-"))
