"""Project a CT by cone-beam ray casting into line integrals of a radiograph: PA, AP or lateral.

Reads a CT (NIfTI, MHD/MHA, NRRD or DICOM folder; `drrx read-ct` checks and mends one first) and writes an .npz file
with float32 arrays [row, column], head up, the patient's right on the image's left (lateral: the front on the left):

  line_integral          attenuation along each ray, no unit (0 is air)
  water_mm, bone_mm      its two bases, mm; with --beam monoenergetic
                         line_integral = mu_water_per_mm * (water_mm + bone_factor * bone_mm)
  source_world_mm, pixel00_world_mm, column_step_world_mm, row_step_world_mm
                         the geometry, LPS mm; pixel [r, c] = pixel00 + r * row_step + c * column_step

With --anatomy (from `drrx segment-anatomy`) the table is removed, the scan is continued beyond its end slices to fill
the detector, and the paths lung_path_mm, mediastinum_path_mm and bone_path_mm are written too. Without it the CT is
projected as it is. Add --image to see the DRR.

Example: drrx project-ct ct.nii.gz --output projection.npz --view lateral --size-px 1024
"""

import argparse
from pathlib import Path

SUMMARY = "project a CT into line integrals (.npz) and, if asked, a DRR image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``project-ct``."""
    from drrx.cli.options import add_settings
    from drrx.geometry import VIEW_NAMES
    from drrx.projector.settings import ProjectCtSettings
    from drrx.radiograph.settings import ComposeDrrSettings

    parser.add_argument("ct", type=Path, metavar="CT", help="CT file or DICOM folder")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT.npz", help="file to write")
    parser.add_argument("--anatomy", type=Path, metavar="LABELS.nii.gz", help="label map from drrx segment-anatomy")
    parser.add_argument("--image", type=Path, metavar="DRR.png", help="also write the DRR, 16-bit PNG, bone white")
    parser.add_argument("--view", default="pa", metavar="NAME", help=f"{VIEW_NAMES} (default: pa)")
    parser.add_argument("--seed", type=int, default=0, metavar="INTEGER", help="moves a jittered view (default: 0)")
    add_settings(parser, ProjectCtSettings)
    add_settings(parser, ComposeDrrSettings)


def run(args: argparse.Namespace) -> None:
    """Read, project, write."""
    import numpy as np

    from drrx.cli.options import make_settings
    from drrx.geometry import Pose, ViewName
    from drrx.io.arrays import write_arrays
    from drrx.io.canonical import orient
    from drrx.io.ct import read_volume_file
    from drrx.io.image import write_image
    from drrx.io.nifti import read_volume
    from drrx.io.settings import ReadCtSettings
    from drrx.projector.jitter import draw_pose
    from drrx.projector.settings import ProjectCtSettings
    from drrx.projector.window import make_view
    from drrx.radiograph.attenuation import make_line_integral
    from drrx.radiograph.film import Film
    from drrx.radiograph.settings import ComposeDrrSettings
    from drrx.records.anatomy import Anatomy
    from drrx.seeds import make_rng, make_seed
    from drrx.stages.device import take_device
    from drrx.stages.project_ct import project_case, project_plain

    ct = orient(read_volume_file(args.ct, ReadCtSettings()).volume)
    geometry = make_settings(ProjectCtSettings, vars(args), "drrx project-ct")
    name = ViewName.parse(args.view)
    pose = draw_pose(geometry, make_seed(args.seed, args.view)) if name.is_jittered else Pose()
    view = make_view(ct, geometry, name, pose)
    settings = make_settings(ComposeDrrSettings, vars(args), "drrx project-ct")
    device = take_device(geometry.device)
    if args.anatomy is None:
        maps = project_plain(ct, view, device=device)
    else:
        maps, _ = project_case(ct, Anatomy(read_volume(args.anatomy)), view, device=device)
    line_integral = make_line_integral(maps["water_mm"], maps["bone_mm"], settings)
    write_arrays(args.output, {"line_integral": line_integral, **maps, **view.to_arrays()})
    if args.image is not None:
        unknown = np.zeros_like(line_integral)
        lung_mm, mediastinum_mm = maps.get("lung_path_mm", unknown), maps.get("mediastinum_path_mm", unknown)
        film = Film.expose_twin(line_integral, lung_mm, mediastinum_mm, view, settings, make_rng(0))
        write_image(args.image, film.develop(line_integral))
