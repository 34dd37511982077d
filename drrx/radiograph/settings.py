"""Settings of the physics chain and the display curve."""

from drrx.settings import Field, settings


@settings
class ComposeDrrSettings:
    """From basis line integrals to the DRR as a displayed radiograph."""

    mu_water_per_mm: float = Field(
        default=0.0205, gt=0, le=0.2, description="attenuation of water at the mean energy of a 120 kVp beam, 1/mm"
    )
    bone_factor: float = Field(
        default=1.25, ge=0, le=3, description="attenuation above water per HU / 1000, relative to water, no unit"
    )
    scatter_fraction_lung: float = Field(
        default=0.40,
        ge=0,
        lt=0.95,
        description="scatter share of the signal behind lung (0.40 with a grid, 0.61 without); 0 is off",
    )
    scatter_fraction_mediastinum: float = Field(
        default=0.62, ge=0, lt=0.98, description="the same behind the mediastinum (0.62 with a grid, 0.87 without)"
    )
    scatter_fwhm_mm: float = Field(
        default=60.0, gt=0, le=500, description="width at half maximum of the scatter kernel on the detector, mm"
    )
    detector_kerma_ugy: float = Field(
        default=2.5, ge=0, le=1000, description="mean air kerma behind the patient, uGy; 0 makes a noise-free image"
    )
    detector_blur_mm: float = Field(
        default=0.145, ge=0, le=5, description="sigma of the detector's Gaussian blur, mm; 0 is off"
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
