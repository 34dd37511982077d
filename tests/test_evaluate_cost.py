import numpy as np
import pytest
import torch

from drrx.evaluate import paper_network
from drrx.evaluate.cost import count_call, measure_cost
from drrx.evaluate.methods import System
from drrx.evaluate.paper_network import PaperUnet, _Attention
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.nets.unet import HaarUnet, count_flops
from drrx.restorer.settings import RestoreCxrSettings
from tests.restorers import make_restorer


def test_papers_network_has_its_size_and_cost():
    with torch.device("meta"):
        network = PaperUnet()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == pytest.approx(paper_network.PARAMETERS, rel=0.01)
    assert count_call(network, 1024) / 1e9 == pytest.approx(paper_network.GFLOP, rel=0.02)


def test_flop_of_known_layers():
    class Layers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 8, 3, padding=1)

        def forward(self, noisy, condition, t):
            return self.conv(torch.cat([noisy, condition], 1))

    assert count_call(Layers(), 32) == 2 * 32 * 32 * 9 * 2 * 8
    network = HaarUnet((8, 16), (1, 1), 16, 4)
    packets = 3 * 2 * 64 * 64 * 16  # two Haar packets forth and one back, which count_flops leaves out
    assert count_call(network, 64) == pytest.approx(count_flops(network, 64, 64) + packets, rel=0.002)


def test_attention_is_its_formula():
    torch.manual_seed(0)
    for linear in (False, True):
        layer, x = _Attention(16, linear), torch.randn(1, 16, 4, 6)
        q, k, v = (part.reshape(4, 32, 24) for part in layer.enter(layer.norm(x))[0].reshape(3, 128, 24))
        heads = []
        for head in range(4):
            if linear:  # a softmax over channels of q, over places of k, and no product of places with places
                weights = torch.softmax(q[head], 0).T @ torch.softmax(k[head], 1) / 32**0.5
            else:
                weights = torch.softmax(q[head].T @ k[head] / 32**0.5, 1)
            heads.append(v[head] @ weights.T)
        expected = x + layer.leave(torch.cat(heads).reshape(1, 128, 4, 6))
        assert torch.allclose(layer(x), expected, atol=1e-5)


def test_cost_counts_calls_and_the_papers_two_thousand(monkeypatch):
    monkeypatch.setattr("drrx.evaluate.cost.PaperUnet", lambda: HaarUnet((8, 16), (1, 1), 16, 4))
    settings = EvaluateRestorerSettings(cost_px=256, cost_runs=1, paper_calls=1, threads=1)
    report = measure_cost(System("delivered", make_restorer()), settings, RestoreCxrSettings(steps=3))
    assert {name: mode["calls"] for name, mode in report["modes"].items()} == {"mean": 1, "sample": 3, "blend": 3}
    gflop = report["gflop_per_call"]
    assert report["modes"]["sample"]["tflop"] == pytest.approx(3 * gflop / 1e3, abs=1e-4)
    paper = report["paper"]
    assert paper["seconds"] == pytest.approx(2000 * paper["seconds_per_call"], rel=0.01)
    for mode in report["modes"].values():
        assert mode["ratio"] == pytest.approx(paper["seconds"] / mode["seconds"], rel=0.01)


def test_papers_network_keeps_the_size():
    torch.manual_seed(0)
    with torch.inference_mode():
        out = PaperUnet()(torch.zeros(1, 1, 128, 256), torch.randn(1, 1, 128, 256), torch.zeros(1))
    assert out.shape == (1, 1, 128, 256)
    assert np.isfinite(out.numpy()).all()
