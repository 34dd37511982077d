"""Boxes, masks, contrast and visibility of nodules in a radiograph."""

from typing import TYPE_CHECKING

from drrx.lazy import import_on_use

if TYPE_CHECKING:
    from drrx.annotate.annotate import Shadow, annotate_image, annotate_nodule
    from drrx.annotate.mask import decode_mask, encode_mask
    from drrx.annotate.settings import AnnotateCxrSettings
    from drrx.annotate.signal import Pair

__all__ = [
    "AnnotateCxrSettings",
    "Pair",
    "Shadow",
    "annotate_image",
    "annotate_nodule",
    "decode_mask",
    "encode_mask",
]

__getattr__ = import_on_use(
    __name__,
    {
        "AnnotateCxrSettings": "settings",
        "Pair": "signal",
        "Shadow": "annotate",
        "annotate_image": "annotate",
        "annotate_nodule": "annotate",
        "decode_mask": "mask",
        "encode_mask": "mask",
    },
)
