"""A tiny restorer with random weights for tests of the machinery."""

import torch

from drrx.diffusion.residual import ResidualScale
from drrx.nets.unet import HaarUnet
from drrx.restorer.model import Restorer


def make_guided():
    """A restorer whose network takes a nodule map."""
    return make_restorer(guided=True)


def make_restorer(seed=0, guided=False):
    torch.manual_seed(seed)
    net = HaarUnet((8, 16), (1, 1), 16, 4, guided=guided)
    for parameter in net.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return Restorer(net.eval(), ResidualScale([0.3] + [0.02] * 15), 2.0, "0" * 64, torch.device("cpu"))
