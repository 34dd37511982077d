"""What every projector of the benchmark is given: a CT in HU and a frontal view of it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.geometry import Pose, View, make_standard_view
from drrx.projector.reference import project_volume_reference
from drrx.volume import Volume

AIR_HU = -1000


@dataclass(frozen=True, eq=False)
class Scene:
    """A CT and a view; what is asked for is the water-equivalent path: the integral of ``max(0, 1 + HU / 1000)``, mm.

    Attributes
    ----------
    volume
        int16 HU, axes along the world's.
    view
        PA: source at +y, columns to +x, rows to -z. ``turned`` gives views that are not.
    """

    volume: Volume
    view: View

    @classmethod
    def make(cls, volume: Volume, size_px: int) -> "Scene":
        """Return the scene of the pipeline's default geometry: 1800 mm to a 430 mm detector, 1600 mm to the centre."""
        return cls(volume, make_standard_view(volume.center_world_mm, size_px=size_px))

    @classmethod
    def make_tiny(cls) -> "Scene":
        """Return a block of water of 16 voxels a side, to warm a projector up with."""
        return cls.make(Volume.from_spacing(np.zeros((16, 16, 16), np.int16), (2.0, 2.0, 2.0)), 16)

    def density(self) -> NDArray[np.float32]:
        """Water-equivalent density ``[slice, row, column]``, no unit; a new array."""
        density = self.volume.values.astype(np.float32)
        density -= AIR_HU
        density /= -AIR_HU
        return np.maximum(density, 0, out=density)

    def turned(self, degrees: float) -> "Scene":
        """Return the scene with the patient turned about the long axis."""
        return replace(self, view=Pose(rotation_deg=degrees).move(self.view, self.volume.center_world_mm))

    def write(self, path: Path) -> None:
        """Write an ``.npz`` file for another process."""
        view = json.dumps(self.view.to_json())
        np.savez(path, values=self.volume.values, world_from_index=self.volume.world_from_index, view=view)

    @classmethod
    def read(cls, path: Path) -> "Scene":
        """Read what ``write`` wrote."""
        with np.load(path) as data:
            volume = Volume(data["values"], data["world_from_index"])
            return cls(volume, View.from_json(json.loads(str(data["view"]))))


@dataclass(frozen=True, eq=False)
class SparseReference:
    """The exact trilinear integral at a few pixels spread over the detector, to check whole images against.

    Attributes
    ----------
    rows, columns
        Pixel indices; the pixels are their product. They lie unevenly about the middle: a flip shows.
    path_mm
        float32 ``[row, column]``.
    is_clear
        Whether the ray does not cut a face of the grid along its way, ``[row, column]``. Only these are compared:
        projectors differ in what they take for there between the last voxel's centre and its edge.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    path_mm: NDArray[np.float32]
    is_clear: NDArray[np.bool_]

    @classmethod
    def make(cls, scene: Scene, num_rows: int = 16) -> "SparseReference":
        """Integrate ``num_rows`` x ``num_rows`` rays with ``project_volume_reference``."""
        view = scene.view
        stride = max(1, view.shape[0] // num_rows)
        first = stride // 3
        indices = np.arange(first, view.shape[0], stride)
        few = View(
            view.source_world_mm, view.pixel_world_mm(np.array(first), np.array(first)),
            view.column_step_world_mm * stride, view.row_step_world_mm * stride, (len(indices),) * 2, view.name,
        )  # fmt: skip
        path_mm = project_volume_reference(scene.volume.with_values(scene.density()), few)
        return cls(indices, indices, path_mm, _find_clear(scene.volume, few))

    def relative_error(self, image: NDArray[np.float32]) -> float:
        """Return the root mean square error of ``image`` over the root mean square of the reference."""
        error = image[np.ix_(self.rows, self.columns)] - self.path_mm
        return float(np.linalg.norm(error[self.is_clear]) / np.linalg.norm(self.path_mm[self.is_clear]))


def _find_clear(volume: Volume, view: View) -> NDArray[np.bool_]:
    """Return whether a ray runs from the front to the back of the grid between its outermost voxel centres."""
    source, ends = volume.to_index(view.source_world_mm), volume.to_index(view.pixel_world_mm(*np.indices(view.shape)))
    is_clear = np.ones(view.shape, bool)
    for row in (0, volume.shape[1] - 1):
        share = (row - source[1]) / (ends[..., 1] - source[1])
        at = source + share[..., None] * (ends - source)
        for axis in (0, 2):
            is_clear &= (at[..., axis] >= 0) & (at[..., axis] <= volume.shape[axis] - 1)
    return is_clear
