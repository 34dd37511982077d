"""Make ``drrx/radiograph/beam_120kvp.json``: a 120 kVp chest beam and what bodies do to it.

Run once, by hand, in an environment of its own (drrx itself needs none of these)::

    python -m venv beam && beam/bin/pip install spekpy==2.5.4 xraylib==4.3.0 numpy==2.4.6 scipy==1.17.1
    beam/bin/python scripts/make_beam_table.py

It prints the half-value layer and the effective attenuation of water, so that they can be held against published
tables. Spectrum: SpekPy, Poludniowski et al., Med Phys 48:3630, 2021. Cross sections: xraylib, Schoonjans et al.,
Spectrochim Acta B 66:776, 2011. Cortical bone: ICRU report 44, 1.92 g/cm3.
"""

import json
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import spekpy
import xraylib
from scipy.optimize import least_squares

OUTPUT = Path(__file__).parent.parent / "drrx" / "radiograph" / "beam_120kvp.json"
KVP, ANODE_DEG, ALUMINIUM_MM = 120, 12, 3.0
CSI_G_PER_CM2 = 0.216
CORTICAL, CORTICAL_G_PER_CM3 = "Bone, Cortical (ICRP)", 1.92
LUNG_WATER_MM = 90  # a chest behind its lungs stops as much as this
NUM_LINES = 6
FITTED_WATER_MM = np.concatenate([[1, 3], np.linspace(10, 600, 40)])
FITTED_BONE_MM = np.concatenate([[0, 1], np.linspace(5, 120, 15)])
# The beam of a CT scanner in which HU are calibrated: stronger filtration, behind 200 mm of water.
CT_ALUMINIUM_MM, CT_WATER_MM = 8.0, 200.0


def make_spectrum(aluminium_mm: float) -> tuple[np.ndarray, np.ndarray, spekpy.Spek]:
    """Return energies in keV (1 keV bins), photons per bin and mm2 at 1 m and 1 mAs, and the SpekPy object."""
    tube = spekpy.Spek(kvp=KVP, th=ANODE_DEG, dk=1.0).filter("Al", aluminium_mm)
    energy_kev, per_cm2 = tube.get_spectrum(diff=False)
    keep = per_cm2 > 1e-6 * per_cm2.max()
    return energy_kev[keep], per_cm2[keep] / 100, tube


def mu_per_mm(material: str, density: float, energy_kev: np.ndarray) -> np.ndarray:
    """Return the linear attenuation, 1/mm, of a compound or NIST material."""
    return np.array([xraylib.CS_Total_CP(material, float(energy)) for energy in energy_kev]) * density / 10


def absorbed_by_csi(energy_kev: np.ndarray) -> np.ndarray:
    """Return the share of photons that the scintillator absorbs."""
    return 1 - np.exp(-mu_per_mm("CsI", 1.0, energy_kev) * 10 * CSI_G_PER_CM2)


def cortical_ct_number() -> float:
    """Return what cortical bone reads in a CT beam, HU."""
    energy, photons, _ = make_spectrum(CT_ALUMINIUM_MM)
    water = mu_per_mm("Water, Liquid", 1.0, energy)
    weight = photons * energy * np.exp(-water * CT_WATER_MM)
    bone = mu_per_mm(CORTICAL, CORTICAL_G_PER_CM3, energy)
    return float(1000 * ((weight @ bone) / (weight @ water) - 1))


def make_line_integral(weight: np.ndarray, *terms: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return ``-ln sum(weight exp(-mu t))`` for pairs of ``mu`` per energy and lengths ``t`` of any shape."""
    depth = sum(np.multiply.outer(mu, length) for mu, length in terms)
    return -np.log(np.tensordot(weight, np.exp(-depth), axes=1))


def fit_lines(weight: np.ndarray, water: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Find few exponentials whose sum gives the line integral of the whole spectrum.

    A sum of exponentials with positive weights is what a real beam of few energies would do: it rises with every
    length, and stays sensible far outside the lengths that were fitted.

    Returns
    -------
    ``[3, NUM_LINES]``: weight (sum 1), attenuation of water and of the excess, 1/mm; the most penetrating line last.
    """
    water_mm, bone_mm = (grid.ravel() for grid in np.meshgrid(FITTED_WATER_MM, FITTED_BONE_MM))
    exact = make_line_integral(weight, (water, water_mm), (excess, bone_mm))

    def lines(free: np.ndarray) -> np.ndarray:
        share, *mu = np.exp(free.reshape(3, NUM_LINES))
        return np.array([share / share.sum(), *mu])

    def error(free: np.ndarray) -> np.ndarray:
        share, mu_water, mu_excess = lines(free)
        return 1e4 * (make_line_integral(share, (mu_water, water_mm), (mu_excess, bone_mm)) / exact - 1)

    # Start from equal shares of the spectrum, each at its middle.
    middle = np.searchsorted(np.cumsum(weight), (np.arange(NUM_LINES) + 0.5) / NUM_LINES)
    start = np.log([np.full(NUM_LINES, 1 / NUM_LINES), water[middle], excess[middle]]).ravel()
    found = least_squares(error, start, x_scale="jac", max_nfev=4000).x
    print(
        f"{NUM_LINES} lines for {len(weight)} energies: largest relative error {np.abs(error(found)).max() / 1e4:.1e}"
    )
    table = lines(found)
    return table[:, np.argsort(-table[1])]


def print_checks(
    tube: spekpy.Spek, weight: np.ndarray, water: np.ndarray, cortical: np.ndarray, excess: np.ndarray
) -> None:
    """Print the half-value layer and, behind water, attenuation and the ratios of bone."""
    print(f"half-value layer {tube.get_hvl1():.2f} mm Al, mean energy {tube.get_emean():.1f} keV")
    for water_mm in (90, 150, 200):
        beam = weight * np.exp(-water * water_mm)
        mu_water = beam @ water / beam.sum()
        ratios = beam @ cortical / (beam @ water), beam @ excess / (beam @ water)
        print(f"behind {water_mm} mm: mu_water {mu_water:.5f} /mm, cortical {ratios[0]:.2f}, excess {ratios[1]:.2f}")


def count_quanta(tube: spekpy.Spek) -> tuple[float, float]:
    """Return photons per mm2 and uGy behind the lung, and the share of them that the detector absorbs."""
    behind = tube.clone(tube).filter("Water, Liquid", LUNG_WATER_MM)
    energy, per_cm2 = behind.get_spectrum(diff=False)
    return per_cm2.sum() / 100 / behind.get_kerma(), per_cm2 @ absorbed_by_csi(energy) / per_cm2.sum()


def main() -> None:
    """Make the table, print its checks and write it."""
    energy, photons, tube = make_spectrum(ALUMINIUM_MM)
    water = mu_per_mm("Water, Liquid", 1.0, energy)
    cortical = mu_per_mm(CORTICAL, CORTICAL_G_PER_CM3, energy)
    cortical_hu = cortical_ct_number()
    excess = (cortical - water) / (cortical_hu / 1000)
    weight = photons * energy * absorbed_by_csi(energy)
    weight /= weight.sum()
    print_checks(tube, weight, water, cortical, excess)
    lines = fit_lines(weight, water, excess)
    per_ugy, absorbed = count_quanta(tube)
    record = {
        "made_by": {"script": "scripts/make_beam_table.py"}
        | {name: version(name) for name in ("spekpy", "xraylib", "numpy", "scipy")},
        "tube": {"kvp": KVP, "anode": "tungsten", "anode_angle_deg": ANODE_DEG, "filter_al_mm": ALUMINIUM_MM}
        | {"half_value_layer_al_mm": round(tube.get_hvl1(), 3)},
        "detector": {"scintillator": "CsI", "g_per_cm2": CSI_G_PER_CM2, "weight": "photons * energy * absorbed share"},
        "bone": {"material": CORTICAL, "g_per_cm3": CORTICAL_G_PER_CM3, "ct_number_hu": round(cortical_hu, 1)}
        | {"ct_filter_al_mm": CT_ALUMINIUM_MM, "ct_water_mm": CT_WATER_MM},
        "quanta": {
            "behind_water_mm": LUNG_WATER_MM,
            "photons_per_mm2_ugy": round(per_ugy),
            "absorbed": round(absorbed, 4),
        },
        "lines": _columns(lines, 9),
        "spectrum": {"energy_kev": energy.tolist()} | _columns(np.array([weight, water, excess]), 6),
    }
    text = json.dumps(record, indent=1)
    OUTPUT.write_text(re.sub(r"(?<=[\[\d,])\n\s+(?=[\d\]])", "", text) + "\n", encoding="utf-8")


def _columns(table: np.ndarray, digits: int) -> dict[str, list[float]]:
    names = ("weight", "mu_water_per_mm", "mu_excess_per_mm")
    return {name: [float(f"{v:.{digits}g}") for v in row] for name, row in zip(names, table, strict=True)}


if __name__ == "__main__":
    main()
