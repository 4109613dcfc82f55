"""A small quantised model, and what it is calibrated on."""

import copy

import pytest
import torch
from quant_models import QUANT, build

from rlepose_ext.quant.calibrate import calibrate


@pytest.fixture(scope='session')
def images():
    return torch.rand(8, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def batch(images):
    return images.clone()


@pytest.fixture(scope='session')
def calibrated_once(root, images):
    model = build(root, QUANT.format('qat'))
    calibrate(model, [images])
    return model


@pytest.fixture
def calibrated(calibrated_once):
    return copy.deepcopy(calibrated_once)
