"""Pictures in the formats that radiographs come in, opened by decoders that may do whatever broken bytes make them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image

from drrx.errors import CaseRefused, DrrxError
from drrx.io.plain import open_plain

#: Others start programs (EPS) or are read by seldom used decoders.
FORMATS = ("PNG", "JPEG", "TIFF")
#: Five times the largest detector.
MAX_NUM_PIXELS = 100_000_000


@contextmanager
def open_film(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain file; what `open_plain` refuses is an error here: a radiograph is no case that is left out."""
    try:
        with open_plain(path) as stream:
            yield stream
    except (CaseRefused, OSError) as error:
        raise make_picture_error(
            path, error.found if isinstance(error, CaseRefused) else str(error.strerror)
        ) from error


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Open a PNG, JPEG or TIFF of one frame with all its pixels; warnings, which may repeat its text, are dropped.

    Raises
    ------
    DrrxError
        No such file, not readable, more than one frame or 100 million pixels.
    """
    with open_film(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Image.open(stream, formats=FORMATS).verify()  # checksums and the end of a PNG, which loading looks past
            stream.seek(0)
            image = Image.open(stream, formats=FORMATS)
            size, num_frames = image.size, int(getattr(image, "n_frames", 1))
            if size[0] * size[1] <= MAX_NUM_PIXELS and num_frames == 1:
                image.load()
        except Exception as error:  # OSError, SyntaxError, struct.error, KeyError, ...: no list of them is complete
            raise make_picture_error(path, f"a damaged picture ({type(error).__name__})") from error
        if size[0] * size[1] > MAX_NUM_PIXELS or num_frames != 1:
            raise make_picture_error(path, f"{num_frames} frames of {size[0]} x {size[1]} pixels")
        with image:
            yield image


def make_picture_error(path: Path, found: str) -> DrrxError:
    """Return the error of a file that is no readable radiograph."""
    return DrrxError(
        where=str(path), found=found,
        needed=f"one radiograph, PNG, JPEG or TIFF, one gray frame of up to {MAX_NUM_PIXELS:,} pixels",
        hint="Check the path, leave the file out, or export the radiograph again as 16-bit grayscale PNG.",
    )  # fmt: skip
