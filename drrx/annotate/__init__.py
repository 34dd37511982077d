"""Boxes, masks, contrast and visibility of nodules in a radiograph."""

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
