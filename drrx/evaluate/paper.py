"""The figures that the DiffusionXRay paper reports (Goyal et al. 2025, arXiv 2603.01686), to stand beside ours."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperColumn:
    """DDPM-HQ and its bicubic-trained twin on test films of one degradation."""

    psnr_db: float
    ssim: float
    twin_psnr_db: float
    twin_ssim: float

    @property
    def gain_db(self) -> float:
        """Return the gain over the twin."""
        return self.psnr_db - self.twin_psnr_db


PAPER = {
    "munit_lq": PaperColumn(27.50, 0.92, 20.08, 0.83),
    "ddpm_lq": PaperColumn(22.21, 0.78, 19.85, 0.78),
}
NOISE_SHARE = 0.729
"""Share of the paper's outputs in which its readers saw a significant increase of noise (bicubic twin: 0.25)."""

DIFFERENCES = """\
The paper's figures were measured on other images, so this is no race. Its test films are 25,596 of ChestX-ray8,
degraded by its own MUNIT-LQ and DDPM-LQ, whose weights are not public; it trained on 300,000 pairs for hundreds of GPU
hours; it gives no intervals and does not say how PSNR and SSIM were taken. Ours are the films counted below, degraded
by our own generators, which learned the look of our own DRRs; the model card tells our training budget. A harder or
softer degradation moves PSNR by many dB. So the fairer figure is the gain over the bicubic-trained twin of the same
network, budget and seed; but even that depends on how far a degradation is from bicubic shrinking.
"""
