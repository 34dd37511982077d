"""``make_phantom``: an anatomical thorax CT from a seed, with its truth."""

from dataclasses import dataclass, field

import numpy as np

from drrx.errors import DrrxError
from drrx.phantom.abdomen import Abdomen, shape_abdomen
from drrx.phantom.body import Body, paint_table, shape_body
from drrx.phantom.cage import APEX_MM, shape_cage, shape_diaphragm
from drrx.phantom.canvas import Canvas
from drrx.phantom.field import FieldGrid
from drrx.phantom.girdle import paint_girdle
from drrx.phantom.heart import Mediastinum, shape_mediastinum
from drrx.phantom.lungs import Lungs, paint_lungs, shape_lungs
from drrx.phantom.noise import add_noise, make_texture
from drrx.phantom.physique import Physique, draw_physique
from drrx.phantom.ribs import paint_ribs, paint_sternum
from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.spine import paint_spine
from drrx.phantom.vessels import grow_lobe_trees, paint_airways, paint_hilar_vessels, paint_vessels
from drrx.records.anatomy import LEFT_LUNG, RIGHT_LUNG, Anatomy, Label
from drrx.seeds import make_rng, make_seed
from drrx.volume import Volume

_FIELD_STEP_MM = 3.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """A drawn thorax.

    Attributes
    ----------
    ct
        Canonical CT: int16 HU ``[slice, row, column]``, LPS.
    anatomy
        True labels on the grid of the CT.
    sex
        ``"female"`` or ``"male"``.
    facts
        Plain numbers: ``age``, ``height_mm``, ``lung_volume_right_l``, ``lung_volume_left_l``, ``seed``, ...
    """

    ct: Volume
    anatomy: Anatomy
    sex: str
    facts: dict[str, float | int | str | bool] = field(default_factory=dict)


def make_phantom(seed: int, settings: MakePhantomSettings | None = None) -> Phantom:
    """Draw an anatomical thorax CT.

    Parameters
    ----------
    seed
        Any integer >= 0: same seed and settings, same voxels.
    settings
        Grid, sex and noise; defaults if absent.

    Returns
    -------
    Phantom
        CT, truth labels and facts.

    Raises
    ------
    DrrxError
        The seed is negative.
    """
    settings = settings or MakePhantomSettings()
    if seed < 0:
        raise DrrxError(
            where="make_phantom", found=f"seed {seed}", needed="an integer >= 0", hint="Give another --seed."
        )
    physique = draw_physique(make_rng(make_seed(seed, "physique")), settings.sex)
    canvas = _make_canvas(physique, settings)
    low = canvas.origin_mm
    high = low + canvas.spacing_mm * (np.array(canvas.shape[::-1]) - 1)
    grid = FieldGrid.around(low, high, _FIELD_STEP_MM)
    lungs = _paint_soft_tissue(canvas, grid, physique, seed)
    _paint_bones(canvas, physique, seed)
    rng = make_rng(make_seed(seed, "vessels"))
    trees = grow_lobe_trees(grid, physique, lungs, rng)
    paint_hilar_vessels(canvas, physique)
    paint_vessels(canvas, physique, trees, rng)
    paint_airways(canvas, physique, trees)
    _add_texture(canvas, grid, seed)
    add_noise(canvas, make_rng(make_seed(seed, "noise")), settings.noise_sd_hu)
    return _finish(canvas, physique, seed)


def _make_canvas(physique: Physique, settings: MakePhantomSettings) -> Canvas:
    spacing = np.array([settings.in_plane_mm, settings.in_plane_mm, settings.slice_mm])
    extent = np.array([settings.width_mm, settings.depth_mm, settings.height_mm])
    counts = np.maximum(np.round(extent / spacing).astype(int), 2)
    # The film's centre: half way between the apices and the deepest costophrenic angle, a little above it.
    top = APEX_MM * physique.scale_z
    bottom = (physique.dome_drop_mm - 78.0) * physique.scale_z
    front, back = physique.place(np.array([[0.0, -181.0, -60.0], [0.0, 43.0, -30.0]]))[:, 1]
    center = np.array([0.0, (front + back) / 2 - 5.0, (top + bottom) / 2 + 4.0])
    return Canvas(tuple(counts[::-1].tolist()), center - spacing * (counts - 1) / 2, spacing)


def _paint_soft_tissue(canvas: Canvas, grid: FieldGrid, physique: Physique, seed: int) -> Lungs:
    cage = shape_cage(grid, physique)
    diaphragm = shape_diaphragm(grid, physique)
    body = shape_body(grid, physique, cage)
    mediastinum = shape_mediastinum(grid, physique)
    lungs = shape_lungs(grid, physique, cage, mediastinum.region, diaphragm)
    abdomen = shape_abdomen(grid, physique, cage, diaphragm, make_rng(make_seed(seed, "abdomen")))
    paint_table(canvas, grid, body.skin)
    _paint_body(canvas, grid, body, cage)
    _paint_abdomen(canvas, grid, physique, cage, diaphragm, abdomen)
    _paint_chest(canvas, grid, cage, diaphragm, mediastinum)
    paint_lungs(canvas, grid, lungs, -872.0)
    return lungs


def _paint_body(canvas: Canvas, grid: FieldGrid, body: Body, cage: np.ndarray) -> None:
    canvas.paint(grid, body.skin, hu=20, label=Label.BODY)
    canvas.paint(grid, body.skin, hu=-102, offsets_mm=(1.8,))
    canvas.paint(grid, body.gland, hu=25)
    canvas.paint(grid, body.muscle, hu=52)
    # Fat between the ribs' own muscles and the broad ones of arm and back.
    canvas.paint(grid, cage, cage, body.muscle, hu=-85, signs=(1.0, -1.0, 1.0), offsets_mm=(-15.0, 12.8, 3.0))


def _paint_abdomen(
    canvas: Canvas, grid: FieldGrid, physique: Physique, cage: np.ndarray, diaphragm: np.ndarray, abdomen: Abdomen
) -> None:
    canvas.paint(grid, cage, diaphragm, hu=50)
    canvas.paint(grid, cage, diaphragm, hu=-15, offsets_mm=(5.0, 3.5))
    for shape, value in (
        (abdomen.liver, 58), (abdomen.spleen, 50), (abdomen.kidneys, 32), (abdomen.colon, 20), (abdomen.stomach, 38),
        (abdomen.gas, -960),
    ):  # fmt: skip
        canvas.paint(grid, shape, hu=value)


def _paint_chest(
    canvas: Canvas, grid: FieldGrid, cage: np.ndarray, diaphragm: np.ndarray, mediastinum: Mediastinum
) -> None:
    canvas.paint(grid, cage, diaphragm, hu=-65, label=Label.MEDIASTINUM, signs=(1.0, -1.0))
    canvas.paint(grid, mediastinum.esophagus, hu=36)
    canvas.paint(grid, mediastinum.heart, diaphragm, hu=44, signs=(1.0, -1.0), label=Label.MEDIASTINUM)
    canvas.paint(grid, mediastinum.blood, hu=42)


def _paint_bones(canvas: Canvas, physique: Physique, seed: int) -> None:
    rng = make_rng(make_seed(seed, "bones"))
    paint_spine(canvas, physique, rng)
    paint_ribs(canvas, physique, rng)
    paint_sternum(canvas, physique)
    paint_girdle(canvas, physique, rng)


def _add_texture(canvas: Canvas, grid: FieldGrid, seed: int) -> None:
    rng = make_rng(make_seed(seed, "texture"))
    lobes = [label for label in Label if label.name.startswith("LOBE_")]
    for correlation_mm, lung, soft, bone in ((0.0, 20.0, 5.0, 28.0), (4.0, 12.0, 9.0, 20.0), (14.0, 9.0, 4.0, 10.0)):
        gain = dict.fromkeys(lobes, lung) | {Label.BODY: soft, Label.MEDIASTINUM: 0.6 * soft, Label.BONE: bone}
        canvas.add_texture(grid, make_texture(grid, rng, correlation_mm), gain)
    # The lung is denser at the back in a lying body, and at its base.
    _, y, z = grid.axes()
    slope = np.broadcast_to((y - y.mean()) / 100.0 * 42.0 - (z - z.mean()) / 100.0 * 6.0, grid.shape)
    canvas.add_texture(grid, np.ascontiguousarray(slope, dtype=np.float32), dict.fromkeys(lobes, 1.0))


def _finish(canvas: Canvas, physique: Physique, seed: int) -> Phantom:
    values = np.clip(np.rint(canvas.hu), -1024, 3071).astype(np.int16)
    spacing = (canvas.spacing_mm[2], canvas.spacing_mm[1], canvas.spacing_mm[0])
    ct = Volume.from_spacing(values, spacing, tuple(canvas.origin_mm.tolist()))
    litre = ct.voxel_volume_mm3 / 1e6
    counts = np.bincount(canvas.labels.ravel(), minlength=256)
    facts: dict[str, float | int | str | bool] = {
        "seed": seed, "sex": physique.sex, "age": physique.age, "height_mm": physique.height_mm,
        "lung_volume_right_l": round(float(counts[list(RIGHT_LUNG)].sum() * litre), 3),
        "lung_volume_left_l": round(float(counts[list(LEFT_LUNG)].sum() * litre), 3),
    }  # fmt: skip
    anatomy = Anatomy(ct.with_values(canvas.labels), {**facts, "source": "phantom"})
    return Phantom(ct, anatomy, physique.sex, facts)
