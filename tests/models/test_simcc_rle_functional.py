"""The soft-argmax: deltas, a hand calculation, the border, gradients; and the rows left out."""

import numpy as np
import pytest
import torch

from rlepose_ext.codecs import SimCCRLELabel
from rlepose_ext.models.heads.simcc_rle import drop_bad_rows, soft_argmax


def test_soft_argmax_of_a_delta_is_its_bin():
    width, height, split = 192, 256, 2
    for bin_x, bin_y in ((0, 0), (383, 511), (17, 400)):
        x, y = torch.zeros(1, 1, width * split), torch.zeros(1, 1, height * split)
        x[..., bin_x] = y[..., bin_y] = 1e4
        expected = [[[bin_x / (width * split), bin_y / (height * split)]]]
        torch.testing.assert_close(soft_argmax(x, y), torch.tensor(expected), rtol=0, atol=0)


def test_soft_argmax_by_hand_and_of_nothing():
    # p = (1, 3) / 4 over two bins, the mean is bin 3/4, of two; uniform over four: bin 3/2.
    x, y = torch.tensor([[[1.0, 3.0]]]).log(), torch.zeros(1, 1, 4)
    torch.testing.assert_close(soft_argmax(x, y), torch.tensor([[[3 / 8, 3 / 8]]]))


def test_soft_argmax_of_a_gaussian_is_its_middle_away_from_the_border():
    codec = SimCCRLELabel((192, 192))
    bins = np.array([[[100.5, 60.0], [0.0, 191.5]]])
    encoded = codec.encode(bins)
    logits = [torch.from_numpy(encoded[f'keypoint_{d}_labels']).double().log() for d in 'xy']
    points = soft_argmax(*logits) * 192
    assert np.abs(points[0, 0].numpy() - bins[0, 0]).max() < 1e-6
    # A Gaussian that the border cuts in half: 2.24 px inwards, as the module's text says.
    assert points[0, 1, 0].item() == pytest.approx(2.239, abs=1e-3)
    assert 191.5 - points[0, 1, 1].item() == pytest.approx(2.239, abs=1e-3)


def test_soft_argmax_gradient():
    x, y = torch.randn(2, 3, 6, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(soft_argmax, (x.requires_grad_(), y.requires_grad_()))


def test_soft_argmax_in_half_precision_counts_bins():
    x = torch.full((1, 1, 512), -100.0, dtype=torch.bfloat16)
    x[..., 257] = 0  # bfloat16 would count 256, 258
    point = soft_argmax(x, x)
    assert point.dtype == torch.float32
    assert point[0, 0, 0].item() == 257 / 512


def test_drop_bad_rows():
    x, y = torch.ones(1, 4, 3), torch.ones(1, 4, 2)
    x[0, 1, 2], y[0, 2, 0] = float('nan'), float('inf')
    weights = torch.tensor([[1.0, 1.0, 0.5, 0.0]])
    (x_, y_), kept = drop_bad_rows((x, y), weights)
    assert kept.tolist() == [[1, 0, 0, 0]]
    assert x_[0].tolist() == [[1] * 3, [0] * 3, [0] * 3, [0] * 3]
    assert y_[0].tolist() == [[1] * 2, [0] * 2, [0] * 2, [0] * 2]
