"""What results depend on beside drrx itself: the versions of Python and of the packages that compute or write files."""

import functools
import importlib.metadata
import platform

#: Those that make numbers, or bytes of files. What only starts or checks things is left out.
PACKAGES = (
    "diffusers", "isal", "matplotlib", "nibabel", "numba", "numpy", "pillow", "pydicom", "pylibjpeg",
    "pylibjpeg-openjpeg", "pyjpegls", "safetensors", "scikit-image", "scipy", "simpleitk", "torch",
)  # fmt: skip


@functools.cache
def read_environment() -> dict[str, str]:
    """Return versions by name, and the kind of machine; nothing tells which machine, when, or in what folder.

    The local part of a version is left out (``2.13.0`` for ``2.13.0+cpu``): a stage's settings tell its device.
    """
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))
