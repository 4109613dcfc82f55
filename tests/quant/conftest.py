"""A small quantised model, and what it is calibrated on."""

import pytest
import torch
from quant_models import QUANT, build

from rlepose_ext.quant.calibrate import calibrate


@pytest.fixture
def batch():
    return torch.rand(8, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def calibrated(root, batch):
    model = build(root, QUANT.format('qat'))
    calibrate(model, [batch])
    return model
