"""Weights under which two networks can only agree by computing the same."""

import copy

import pytest
import torch
from torch import nn

from rlepose_ext.engine import cpu_speed


@pytest.fixture
def randomise():
    """Give batch normalisation statistics and gains of its own; convolutions have theirs."""

    def apply(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.normal_(module.bias, std=0.1)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)

    return apply


@pytest.fixture
def assert_same_in_nhwc(monkeypatch):
    """Outputs and gradients of a float64 network do not change with the memory layout."""

    class Estimator(nn.Module):
        def __init__(self, backbone: nn.Module) -> None:
            super().__init__()
            self.backbone = backbone

    def check(model: nn.Module, images: torch.Tensor) -> None:
        fast = copy.deepcopy(model)
        # narrow networks, to be quick
        monkeypatch.setattr(cpu_speed, 'NARROWEST_IN_NHWC', 0)
        assert cpu_speed.use_channels_last(Estimator(fast))
        expected, got = model(images), fast(images)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        for outputs in (expected, got):
            sum(output.square().sum() for output in outputs).backward()
        for a, b in zip(fast.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-7, atol=1e-7)

    return check
