import pytest
import torch

from drrx.nets.unet import HaarUnet, count_flops


def make_net(seed=0):
    torch.manual_seed(seed)
    net = HaarUnet((8, 16, 16), (1, 1, 1), 16, 4)
    for parameter in net.parameters():  # the last layers are born 0
        parameter.data += 0.05 * torch.randn_like(parameter)
    return net.eval()


@pytest.mark.parametrize("shape", [(64, 64), (33, 71), (17, 5), (256, 100)])
def test_any_size_goes_in_and_comes_out(shape):
    net, image = make_net(), torch.randn(2, 1, *shape)
    with torch.no_grad():
        out = net(image, image, torch.tensor([3, 999]))
    assert out.shape == image.shape
    assert torch.isfinite(out).all()


def test_an_untrained_net_predicts_zero():
    image = torch.randn(1, 1, 32, 32)
    assert HaarUnet((8, 16), (1, 1), 16, 4)(image, image, torch.tensor([10])).abs().max() == 0


def test_time_and_condition_matter():
    net, a, b = make_net(), torch.randn(1, 1, 32, 32), torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        first = net(a, b, torch.tensor([10]))
        assert (net(a, b, torch.tensor([900])) - first).abs().max() > 1e-4
        assert (net(a, a, torch.tensor([10])) - first).abs().max() > 1e-4


def test_a_crop_agrees_with_the_whole_away_from_its_edge():
    # No norm over the map: what lies far away changes nothing.
    net = make_net()
    image = torch.randn(1, 1, 64, 512)
    with torch.no_grad():
        whole, part = (net(x, x, torch.tensor([500])) for x in (image, image[..., :384]))
    assert torch.allclose(whole[..., :64], part[..., :64], atol=1e-5)


def test_flops_are_counted_by_hand():
    net = HaarUnet((8,), (1,), 16, 4)
    grid, full = 16 * 16, 64 * 64
    by_hand = 2 * 9 * (grid * (32 * 8 + 8 * 8 + 8 * 8 + 8 * 16) + full * (3 * 4 + 4))
    assert count_flops(net, 64, 64) == by_hand


def test_pure_noise_does_not_touch_the_mean():
    net, image = make_net(), torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        first, second = (net(torch.randn(1, 1, 32, 32), image, torch.tensor([999])) for _ in range(2))
    assert torch.allclose(first, second, atol=1e-5)
