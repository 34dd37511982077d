"""Heart, great vessels and everything else between the lungs, as smooth fields."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.phantom.field import FieldGrid, smooth_min
from drrx.phantom.physique import Physique
from drrx.phantom.spine import body_sizes, spine_centers

_HEART_CENTER = np.array([20.0, -100.0, -58.0])

# Chambers: centre, radii, turn in the frontal plane (deg, apex downwards), reference mm.
_CHAMBERS = (
    ((-15.0, -101.0, -58.0), (22.0, 34.0, 37.0), 0.0),  # right atrium
    ((26.0, -125.0, -68.0), (46.0, 27.0, 28.0), 16.0),  # right ventricle
    ((36.0, -100.0, -66.0), (44.0, 41.0, 34.0), 44.0),  # left ventricle
    ((60.0, -110.0, -88.0), (25.0, 33.0, 17.0), 20.0),  # apex
    ((7.0, -110.0, -30.0), (25.0, 30.0, 27.0), 0.0),  # base with the roots of the great arteries
    ((8.0, -69.0, -42.0), (35.0, 20.0, 24.0), 0.0),  # left atrium
    ((38.0, -88.0, -30.0), (16.0, 14.0, 13.0), 25.0),  # left auricle
)

AORTA = np.array(
    [[8, -104, -42], [2, -108, -22], [-5, -109, 0], [-5, -104, 18], [2, -94, 33], [12, -78, 40], [21, -60, 38],
     [25, -46, 26], [25, -37, 8], [23, -33, -15], [21, -33, -40], [18, -37, -65], [13, -44, -90], [7, -54, -115],
     [3, -64, -145], [2, -74, -185], [2, -80, -230]], float
)  # fmt: skip
AORTA_RADII = np.array([16, 16.5, 16, 15.5, 15.2, 14.8, 14.6, 14, 13, 12.2, 11.6, 11.2, 11, 10.6, 10, 9.5, 9], float)
PULMONARY_TRUNK = np.array([[26, -128, -44], [25, -122, -24], [23, -106, -8], [22, -90, -2]], float)
RIGHT_ARTERY = np.array([[22, -92, -4], [2, -86, -6], [-18, -80, -9], [-34, -74, -15]], float)
LEFT_ARTERY = np.array([[22, -92, -3], [30, -78, 3], [38, -64, 0], [43, -58, -12]], float)
RIGHT_HILUM = np.array([-36.0, -72.0, -17.0])
LEFT_HILUM = np.array([42.0, -60.0, -10.0])
RIGHT_VEIN_HILUM = np.array([-27.0, -72.0, -38.0])
LEFT_VEIN_HILUM = np.array([38.0, -68.0, -36.0])
TRACHEA = np.array(
    [[0, -104, 130], [0, -102, 108], [0, -97, 86], [0, -90, 62], [-2, -82, 38], [-3, -75, 16], [-3, -69, -2]], float
)
RIGHT_BRONCHUS = np.array([[-3, -69, -2], [-12, -67, -16], [-22, -66, -28], [-29, -66, -42]], float)
LEFT_BRONCHUS = np.array([[-3, -69, -2], [8, -67, -15], [22, -63, -27], [35, -58, -38]], float)
_CAVA = np.array([[-18, -106, 40], [-19, -102, 20], [-18, -98, -5], [-17, -98, -32]], float)
_RIGHT_BRACHIOCEPHALIC = np.array([[-18, -106, 38], [-22, -108, 60], [-34, -106, 78]], float)
_LEFT_BRACHIOCEPHALIC = np.array([[-16, -108, 40], [2, -114, 50], [20, -110, 64], [32, -106, 78]], float)
_INFERIOR_CAVA = np.array(
    [[-14, -92, -70], [-17, -88, -95], [-16, -80, -130], [-14, -76, -190], [-12, -80, -240]], float
)
_ARTERIES = (
    np.array(
        [[0, -100, 36], [-8, -104, 56], [-20, -100, 76], [-22, -98, 110]], float
    ),  # brachiocephalic, right carotid
    np.array([[-18, -100, 72], [-34, -92, 84], [-56, -90, 84], [-80, -84, 80]], float),  # right subclavian
    np.array([[8, -88, 44], [12, -94, 66], [20, -98, 110]], float),  # left carotid
    np.array([[17, -74, 44], [24, -78, 68], [36, -84, 84], [58, -88, 86], [84, -82, 82]], float),  # left subclavian
)
_ESOPHAGUS = np.array(
    [[2, -90, 110], [4, -80, 86], [5, -70, 55], [5, -60, 20], [6, -54, -10], [8, -50, -40], [12, -56, -70],
     [20, -68, -95], [30, -84, -112]], float
)  # fmt: skip
_RIGHT_INLET = np.array([[-16, -98, 34], [-18, -92, 56], [-19, -84, 80], [-17, -80, 104]], float)
_LEFT_INLET = np.array([[20, -66, 34], [21, -68, 58], [21, -68, 82], [19, -70, 104]], float)
_THYROID = np.array([[-17, -106, 104], [-12, -112, 92], [12, -112, 92], [17, -106, 104]], float)


@dataclass(frozen=True, eq=False)
class Mediastinum:
    """Distances in mm on the field grid: everything that keeps the lungs apart, and what is blood or muscle in it."""

    region: NDArray[np.float32]
    heart: NDArray[np.float32]
    blood: NDArray[np.float32]
    esophagus: NDArray[np.float32]


def scaled_heart(physique: Physique, points: NDArray[Any]) -> NDArray[np.float64]:
    """Scale reference points of the heart about its centre."""
    # It rests on the diaphragm: a lower dome stretches it downwards.
    points = np.asarray(points, float)
    drop = physique.dome_drop_mm - 0.5 * physique.left_dome_lower_mm + 90.0
    weight = np.clip((-points[..., 2] - 20.0) / 60.0, 0.0, 1.2)
    scaled = _HEART_CENTER + physique.heart * (points - _HEART_CENTER)
    scaled[..., 2] += weight * drop
    return np.asarray(scaled)


def aorta_path(physique: Physique) -> NDArray[np.float64]:
    """Return the aorta's centre line, reference mm: an older aorta is longer, its knob higher and more lateral."""
    path, unfold = AORTA.copy(), physique.aorta - 1.0
    weight = np.exp(-(((np.arange(len(path)) - 6.0) / 3.0) ** 2))
    path[:, 2] += 16.0 * unfold * weight
    path[:, 0] += 22.0 * unfold * np.exp(-(((np.arange(len(path)) - 8.0) / 3.0) ** 2))
    path[1:4, 0] -= 10.0 * unfold
    return path


def shape_mediastinum(grid: FieldGrid, physique: Physique) -> Mediastinum:
    """Shape heart, vessels, oesophagus and the fat between them."""
    heart, blood, esophagus = _shape_heart(grid, physique), grid.empty(), grid.empty()
    size, place = physique.size, physique.place
    grid.add_chain(blood, place(aorta_path(physique)), AORTA_RADII * size * physique.aorta)
    # Fat and ligament under the arch: the window between aorta and pulmonary artery.
    window = grid.empty()
    grid.add_ellipsoid(window, place(np.array([18.0, -78.0, 18.0])).tolist(), (15.0, 18.0, 20.0))
    # The thymus has turned to fat in front of the great vessels.
    grid.add_ellipsoid(window, place(np.array([7.0, -122.0, 16.0])).tolist(), (19.0, 17.0, 36.0), blend_mm=8.0)
    # Lymph nodes, azygos vein and fat to the right of the trachea.
    grid.add_ellipsoid(window, place(np.array([-19.0, -84.0, 8.0])).tolist(), (11.0, 15.0, 24.0), blend_mm=8.0)
    grid.add_chain(blood, place(PULMONARY_TRUNK), np.array([13, 14, 14, 13]) * size, blend_mm=4)
    for path, radii in (
        (RIGHT_ARTERY, (12, 11, 10, 8.5)), (LEFT_ARTERY, (13, 12.5, 11, 8.5)), (_CAVA, (9, 9.5, 9.5, 10)),
        (_RIGHT_BRACHIOCEPHALIC, (8, 7.5, 7)), (_LEFT_BRACHIOCEPHALIC, (7.5, 6.5, 6.5, 6.5)),
        (_INFERIOR_CAVA, (12, 12, 11, 11, 10)),
    ):  # fmt: skip
        grid.add_chain(blood, place(path), np.array(radii) * size)
    for path in _ARTERIES:
        grid.add_chain(blood, place(path), np.linspace(6.0, 4.0, len(path)) * size)
    for vein in (RIGHT_VEIN_HILUM, LEFT_VEIN_HILUM):
        grid.add_chain(blood, place(np.stack([[vein[0] * 0.3, -68.0, -40.0], vein])), 8.0 * size)
    grid.add_chain(esophagus, place(_ESOPHAGUS), np.linspace(5.0, 8.0, len(_ESOPHAGUS)))
    grid.add_chain(esophagus, place(_THYROID), np.array([9.0, 6.0, 6.0, 9.0]))
    region = _shape_region(grid, physique, heart, np.minimum(blood, window), esophagus)
    return Mediastinum(region, heart, blood, esophagus)


def septum_x(y: NDArray[Any], z: NDArray[Any]) -> NDArray[Any]:
    """Return reference x in mm where right and left lung face each other.

    In front it runs aslant from the sternum to the left, so that it shows on a film as a short faint line or not at
    all; behind it follows the oesophagus.
    """
    front = np.where(z > -20, 2.0, 2.0 - 0.12 * (z + 20)) + 0.4 * (np.minimum(y, -80.0) + 128.0)
    behind = np.interp(z, [-120, -60, 0, 100], [13.0, 8.0, 5.0, 4.0])
    share = np.clip((y + 110.0) / 35.0, 0.0, 1.0)
    return np.asarray(front + share * (behind - front))


def _shape_heart(grid: FieldGrid, physique: Physique) -> NDArray[np.float32]:
    heart, grow = grid.empty(), physique.heart * physique.size
    for center, radii, turn_deg in _CHAMBERS:
        turn = np.radians(turn_deg + physique.heart_tilt_deg * -1.0 * (turn_deg > 0))
        axes = np.array(
            [[np.cos(turn), -0.35 * np.sin(turn), -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]]
        )
        axes[0] /= np.linalg.norm(axes[0])
        axes[1] = np.cross(axes[2], axes[0])
        axes[1] /= np.linalg.norm(axes[1])
        axes[2] = np.cross(axes[0], axes[1])
        middle = physique.place(scaled_heart(physique, np.array(center)))
        grid.add_ellipsoid(heart, middle.tolist(), (np.array(radii) * grow).tolist(), axes=axes, blend_mm=11.0)
    # It lies on the diaphragm with its whole underside: below the apex it goes on, and the diaphragm cuts it.
    floor = physique.place(scaled_heart(physique, np.array([30.0, -110.0, -82.0])))[2]
    level = int(np.clip(round((floor - grid.origin_mm[2]) / grid.step_mm), 1, grid.shape[0] - 1))
    below = grid.step_mm * np.arange(level, 0, -1, dtype=np.float32)[:, None, None]
    heart[:level] = np.minimum(heart[:level], heart[level] + 0.15 * below)
    return heart


def _shape_region(
    grid: FieldGrid,
    physique: Physique,
    heart: NDArray[np.float32],
    blood: NDArray[np.float32],
    esophagus: NDArray[np.float32],
) -> NDArray[np.float32]:
    # What the lungs must leave free: organs with a sheath of fat, the spine, and thin septa in front and behind.
    size, place = physique.size, physique.place
    region = smooth_min(smooth_min(heart - 3.0, blood - 1.8, 20.0), esophagus - 2.5, 14.0)
    blend = 12.0
    for path in (TRACHEA, RIGHT_BRONCHUS, LEFT_BRONCHUS):
        grid.add_chain(region, place(path), (11.5 if path is TRACHEA else 9.5) * size, blend_mm=blend)
    centers, sizes = spine_centers(physique), body_sizes() * size
    grid.add_chain(region, centers + np.array([0.0, 1.0, 0.0]), sizes[:, 0] + 2.0, blend_mm=12.0)
    back = centers + np.stack([np.zeros(len(sizes)), sizes[:, 1] + 14.0, np.zeros(len(sizes))], axis=1)
    grid.add_chain(region, back, 21.0 * size, blend_mm=6.0)
    x, y, z = physique.to_reference(*grid.axes())
    # Retrosternal septum (thymus, fat): wider above, a line in the middle, wide again at the heart.
    middle = septum_x(y, z)
    half = 2.0 + 14.0 / (1.0 + np.exp(-(z - 52.0) / 8.0)) + 5.0 * np.clip((y + 110.0) / 30.0, 0.0, 1.0)
    front = np.maximum(np.abs(x - middle) - half, y + 70.0)
    # Fat along the great vessels of the neck, up to the thoracic inlet.
    for path in (_RIGHT_INLET, _LEFT_INLET):
        grid.add_chain(region, place(path), np.array([9.0, 10.0, 10.0, 11.0]) * size, blend_mm=16.0)
    # Behind the heart and the trachea the lungs nearly meet in front of the spine, on the oesophagus.
    behind = np.maximum(np.abs(x - middle) - 7.0, -(y + 85.0))
    for slab in (front, behind):
        region = smooth_min(region, np.clip(slab * physique.scale_x, -40, 40), 9.0)
    # Fat pads at the angles of heart and diaphragm.
    floor = physique.dome_drop_mm
    for center, radii in (
        ((66.0, -130.0, floor - 18), (20.0, 17.0, 13.0)),
        ((-31.0, -124.0, floor - 4), (17.0, 24.0, 10.0)),
    ):
        grid.add_ellipsoid(region, place(np.array(center)).tolist(), radii, blend_mm=18.0)
    return region.astype(np.float32)
