import torch

from drrx.nets.haar import from_haar, haar_kernel, to_haar


def test_bands_are_orthonormal():
    flat = haar_kernel().reshape(16, 16).double()
    assert torch.allclose(flat @ flat.T, torch.eye(16, dtype=torch.float64), atol=1e-7)


def test_inverse_is_exact_and_energy_is_kept():
    image = torch.randn(2, 1, 24, 36, dtype=torch.float64)
    bands = to_haar(image)
    assert bands.shape == (2, 16, 6, 9)
    assert torch.allclose(from_haar(bands), image, atol=1e-6)
    assert torch.allclose(bands.square().sum(), image.square().sum(), rtol=1e-6)


def test_white_noise_stays_white():
    bands = to_haar(torch.randn(1, 1, 512, 512, generator=torch.Generator().manual_seed(0)))
    flat = bands[0].reshape(16, -1)
    assert torch.allclose(torch.cov(flat), torch.eye(16), atol=0.05)


def test_a_flat_image_has_only_the_mean_band():
    bands = to_haar(torch.full((1, 1, 8, 8), 0.3))
    assert torch.allclose(bands[:, 0], torch.tensor(1.2))
    assert bands[:, 1:].abs().max() < 1e-6
