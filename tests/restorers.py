"""A tiny restorer with random weights for tests of the machinery."""

import torch

from drrx.diffusion.residual import ResidualScale
from drrx.nets.unet import HaarUnet
from drrx.restorer.model import Restorer


def make_restorer(seed=0):
    torch.manual_seed(seed)
    net = HaarUnet((8, 16), (1, 1), 16, 4)
    for parameter in net.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return Restorer(net.eval(), ResidualScale([0.3] + [0.02] * 15), 2.0, "0" * 64, torch.device("cpu"))
