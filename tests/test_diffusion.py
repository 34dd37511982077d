import pytest
import torch

from drrx.diffusion.residual import ResidualScale, measure_deviations
from drrx.diffusion.sample import draw_noise, sample_mean, sample_residual
from drrx.diffusion.schedule import (
    clean_from_v,
    make_alphas,
    make_betas,
    make_scheduler,
    noise_from_v,
    to_noisy,
    to_v,
)  # fmt: skip
from drrx.nets.haar import to_haar


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_schedule_falls_to_zero_snr(shift):
    alphas = make_alphas(shift)
    assert alphas[-1] == 0
    assert (alphas.diff() < 0).all()
    assert 0.99 < alphas[0] < 1


def test_shift_divides_the_snr():
    plain, shifted = make_alphas(1.0)[:-1], make_alphas(2.0)[:-1]
    assert torch.allclose(plain / (1 - plain) / 2, shifted / (1 - shifted), rtol=1e-9)


def test_betas_give_back_the_alphas_and_the_diffusers_scheduler_agrees():
    alphas = make_alphas(2.0)
    assert torch.allclose(torch.cumprod(1 - make_betas(alphas), 0), alphas, atol=1e-12)
    scheduler = make_scheduler("ddim", 5, 2.0)
    assert torch.allclose(scheduler.alphas_cumprod.double(), alphas, atol=2e-5)
    assert scheduler.alphas_cumprod[-1] == 0
    assert scheduler.timesteps.tolist() == [999, 799, 599, 399, 199]


def test_closed_forms_agree_with_each_other_and_with_diffusers():
    clean, noise = torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8)
    t = torch.tensor([0, 300, 700, 999])
    scheduler = make_scheduler("ddim", 5, 2.0)
    alpha = scheduler.alphas_cumprod[t][:, None, None, None]
    noisy, v = to_noisy(clean, noise, alpha), to_v(clean, noise, alpha)
    assert torch.allclose(clean_from_v(noisy, v, alpha), clean, atol=1e-5)
    assert torch.allclose(noise_from_v(noisy, v, alpha), noise, atol=1e-5)
    assert torch.allclose(noisy, scheduler.add_noise(clean, noise, t), atol=1e-5)
    assert torch.allclose(v, scheduler.get_velocity(clean, noise, t), atol=1e-5)
    assert torch.allclose(v[3], -clean[3])


def make_gaussian_denoiser(mean, deviation, shift=2.0):
    """The best v for data N(mean, deviation^2): Bayes' rule for two Gaussians."""
    alphas = make_alphas(shift).float()

    def denoise(noisy, t):
        a = alphas[t][:, None, None, None]
        gain = a.sqrt() * deviation**2 / (a * deviation**2 + 1 - a)
        clean = mean + gain * (noisy - a.sqrt() * mean)
        return to_v(clean, (noisy - a.sqrt() * clean) / (1 - a).sqrt(), a)

    return denoise


@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_a_certain_answer_is_reached_exactly_in_any_number_of_steps(solver, steps):
    truth = torch.randn(2, 1, 8, 8)
    noise = draw_noise([1, 2], 8, 8)
    mean, sample = sample_residual(make_gaussian_denoiser(truth, 0.0), noise, solver=solver, steps=steps, snr_shift=2.0)
    assert torch.allclose(mean, truth, atol=1e-4)
    assert torch.allclose(sample, truth, atol=2e-3)


@pytest.mark.parametrize(("solver", "steps", "tolerance"), [("ddim", 250, 0.01), ("dpmpp", 50, 0.01)])
def test_a_gaussian_posterior_is_sampled_exactly(solver, steps, tolerance):
    # The probability-flow ODE of Gaussian data maps noise z to mean + deviation z, a straight line.
    noise = draw_noise([3], 64, 64)
    mean, sample = sample_residual(
        make_gaussian_denoiser(0.7, 0.5), noise, solver=solver, steps=steps, snr_shift=2.0
    )  # fmt: skip
    assert torch.allclose(mean, torch.full_like(mean, 0.7), atol=1e-4)
    assert torch.allclose(sample, 0.7 + 0.5 * noise, atol=4 * 0.5 * tolerance)


def test_mean_is_the_first_call_of_a_sample():
    denoise, noise = make_gaussian_denoiser(0.2, 0.3), draw_noise([5], 8, 8)
    mean, _ = sample_residual(denoise, noise, solver="ddim", steps=4, snr_shift=2.0)
    assert torch.equal(mean, sample_mean(denoise, noise))


def test_noise_belongs_to_its_seed_not_to_the_batch():
    assert torch.equal(draw_noise([4, 9], 16, 20)[1], draw_noise([9], 16, 20)[0])
    assert not torch.equal(draw_noise([4], 16, 20), draw_noise([9], 16, 20))


def test_residual_scale_inverts_and_keeps_noise_white():
    residual = torch.randn(3, 1, 32, 32).cumsum(-1) * 0.01
    scale = ResidualScale(measure_deviations(residual))
    assert torch.allclose(scale.unscale(scale.scale(residual)), residual, atol=1e-5)
    own = torch.tensor(scale.deviations)
    expected = (own / own.square().mean().sqrt()) ** (1 / 3)  # two thirds of the way to white
    got = to_haar(scale.scale(residual)).square().mean(dim=(0, 2, 3)).sqrt()
    assert torch.allclose(got, expected, rtol=1e-4)
