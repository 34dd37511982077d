"""What lies on the rays through a nodule."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import Shadow
from drrx.records.annotation import Overlap
from drrx.records.nodule import NoduleMeasures

PARTS = ("lung", "mediastinum", "bone")
PathMaps = Mapping[str, NDArray[np.float32]]


def measure_overlap(
    shadow: Shadow, measures: NoduleMeasures, maps_mm: PathMaps, shape: tuple[int, int], settings: AnnotateCxrSettings
) -> Overlap:
    """Return what lies before and behind a nodule, weighted with its path.

    ``maps_mm`` are full-size maps ``[row, column]`` of the path in mm through lung, mediastinum and bone; those that
    are missing count as zero.
    """
    weight = shadow.place(shadow.path_mm, shape)
    rows, columns = np.nonzero(weight)
    weights = weight[rows, columns].astype(np.float64) / weight.sum(dtype=np.float64)
    paths = {
        name: maps_mm[name][rows, columns].astype(np.float64) if name in maps_mm else np.zeros(len(rows))
        for name in PARTS
    }
    return Overlap(
        mediastinum_fraction=float(weights[paths["mediastinum"] > settings.mediastinum_path_mm].sum()),
        bone_fraction=float(weights[paths["bone"] > settings.bone_path_mm].sum()),
        lung_path_mm=float(weights @ paths["lung"]), mediastinum_path_mm=float(weights @ paths["mediastinum"]),
        bone_path_mm=float(weights @ paths["bone"]),
        subdiaphragm_fraction=measures.zone_fractions.get("subdiaphragm", 0.0),
        vessel_fraction=measures.vessel_fraction,
    )  # fmt: skip
