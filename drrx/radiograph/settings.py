"""Settings of the physics chain and the display curve."""

from typing import Literal

from drrx.settings import Field, settings


@settings
class ComposeDrrSettings:
    """From basis line integrals to the DRR as a displayed radiograph; docs/physics.md tells the equations."""

    beam: Literal["120kvp", "monoenergetic"] = Field(
        default="120kvp",
        description="120kvp (3 mm Al, CsI, beam hardening) or monoenergetic (mu_water_per_mm, bone_factor)",
    )
    mu_water_per_mm: float = Field(
        default=0.0205, gt=0, le=0.2, description="monoenergetic beam: attenuation of water, 1/mm"
    )
    bone_factor: float = Field(
        default=1.25,
        ge=0,
        le=3,
        description="monoenergetic beam: attenuation above water per HU / 1000, relative to water, no unit",
    )
    scatter: float = Field(
        default=1.0, ge=0, le=3, description="scatter relative to that of an average patient, no unit; 0 is off"
    )
    grid: bool = Field(
        default=True,
        description="anti-scatter grid 10-12:1: scatter is 0.40 of the signal behind lung and 0.62 behind the "
        "mediastinum; without 0.61 and 0.87",
    )
    scatter_fwhm_mm: float = Field(
        default=60.0, gt=0, le=500, description="width at half maximum of the scatter kernel on the detector, mm"
    )
    detector_kerma_ugy: float = Field(
        default=2.5,
        ge=0,
        le=1000,
        description="mean air kerma at the detector behind the patient and the grid, uGy; 0 switches noise off",
    )
    electronic_noise_percent: float = Field(
        default=1.5,
        ge=0,
        le=100,
        description="variance of the electronic noise, % of the mean quantum variance; 0 is off",
    )
    detector_blur_mm: float = Field(
        default=0.145, ge=0, le=5, description="sigma of the detector's Gaussian blur (its MTF), mm; 0 is off"
    )
    gain_percent: float = Field(
        default=0.1,
        ge=0,
        le=5,
        description="pixel gain left uncorrected by flat-fielding, standard deviation in %; columns have a tenth; "
        "0 is off",
    )
    window_low_percent: float = Field(
        default=1.0, ge=0, lt=50, description="percentile of the twin behind lung that is shown black, %"
    )
    window_high_percent: float = Field(
        default=99.5, gt=50, le=100, description="percentile of the twin behind the body that is shown white, %"
    )
    display_gamma: float = Field(
        default=0.7, gt=0.1, le=5, description="exponent of the display curve; above 1 darkens the lungs, no unit"
    )
