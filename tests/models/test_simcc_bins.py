"""Scores and sigma of SimCC's bins, against distributions whose truth is known."""

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.simcc_bins import bin_reading

SIZE, SPLIT = (192, 256), 2.0
BINS = [round(side * SPLIT) for side in SIZE]
# Bins of the peak, and the standard deviation of what is uncertain, in bins.
PEAK, SPREAD = (150, 300), (9.0, 14.0)
SMOOTH = 6.0
# The labels of SimCC, of RTMPose, and those without a Gaussian.
KINDS = {
    'gaussian': ({'sigma': SMOOTH}, {}),
    'rtmpose': (
        {'sigma': SMOOTH, 'normalize': False},
        {'beta': 10.0, 'label_softmax': True, 'label_beta': 10.0},
    ),
    'hard': ({'smoothing_type': 'standard', 'label_smooth_weight': 0.1}, {}),
}


def head_of(kind, kind_of_head='SimCCHead', **more):
    codec, loss = KINDS[kind]
    codec = {'input_size': SIZE, 'simcc_split_ratio': SPLIT, **codec}
    return MODELS.build(
        {
            'type': kind_of_head,
            'in_channels': 4,
            'out_channels': 1,
            'input_size': SIZE,
            'in_featuremap_size': (6, 8),
            'simcc_split_ratio': SPLIT,
            'loss': {'type': 'KLDiscretLoss', **loss},
            'decoder': {'type': 'SimCCLabel', **codec},
            **more,
        }
    )


def label(kind, bins, middle):
    """What the loss sees of a label, as its paper has it."""
    away = np.arange(bins) - middle
    if kind == 'gaussian':
        q = np.exp(-(away**2) / (2 * SMOOTH**2))
    elif kind == 'rtmpose':
        q = np.exp(10 * np.exp(-(away**2) / (2 * SMOOTH**2)))
    else:
        q = np.where(away == 0, 0.9, 0.1 / (bins - 1))
    return q / q.sum()


def truth(bins, peak, spread):
    g = np.arange(bins)
    weights = np.exp(-((g - peak) ** 2) / (2 * spread**2))
    return g, weights / weights.sum()


def logits(kind, spread=SPREAD):
    """Those of a network that has learnt all there is: the mean over labels that are possible."""
    beta, found = KINDS[kind][1].get('beta', 1.0), []
    for bins, peak, width in zip(BINS, PEAK, spread, strict=True):
        p = sum(w * label(kind, bins, g) for g, w in zip(*truth(bins, peak, width), strict=True))
        # what is added to all logits is nobody's business
        found.append(torch.from_numpy(np.log(p + 1e-30) / beta + 9).float()[None, None])
    return found


@pytest.mark.parametrize('kind', KINDS)
def test_sigma_is_that_of_what_is_uncertain(kind):
    reading = bin_reading(head_of(kind), {'sigma': True})
    sigma = reading(*logits(kind))['sigma'][0, 0]
    np.testing.assert_allclose(sigma, np.array(SPREAD) / SPLIT, rtol=0.01)
    # a label alone is a bin wide
    np.testing.assert_allclose(reading(*logits(kind, (1e-3, 1e-3)))['sigma'][0, 0], 1 / SPLIT)


@pytest.mark.parametrize('kind', KINDS)
def test_score_is_the_height_of_a_heatmap(kind):
    """t is 8 px of 256, 16 bins; both sides of the docstring's equation."""
    expected = 1.0
    for bins, peak, spread in zip(BINS, PEAK, SPREAD, strict=True):
        kernel = np.exp(-((np.arange(bins) - peak) ** 2) / (2 * 16.0**2))
        heights = [label(kind, bins, g) @ kernel for g in range(bins)]
        expected *= truth(bins, peak, spread)[1] @ heights / heights[peak]
    reading = bin_reading(head_of(kind))

    def score(outputs):
        (found,) = reading(*outputs).values()
        return found[0, 0]

    np.testing.assert_allclose(score(logits(kind)), expected, rtol=0.01)
    if kind == 'gaussian':
        width = SMOOTH**2 + 16.0**2
        closed = np.prod([np.sqrt(width / (width + spread**2)) for spread in SPREAD])
        np.testing.assert_allclose(expected, closed, rtol=1e-3)
    # a certain joint, any joint, and none
    np.testing.assert_allclose(score(logits(kind, (1e-3, 1e-3))), 1, rtol=0.01)
    flat = [torch.ones(1, 1, bins) for bins in BINS]
    assert 0 < score(flat) < 0.02
    below = [logits(kind)[0], logits(kind)[1] - 100]
    assert score(below) == 0


def test_which_heads_are_read():
    rtm = head_of('rtmpose', 'RTMCCHead')
    reading = bin_reading(rtm)
    assert (reading.beta, reading.score, reading.sigma) == (10, True, False)
    assert bin_reading(rtm, {'score': 'logit'}, calibrated=True).sigma
    with pytest.raises(UserError, match='softmax'):
        bin_reading(rtm, {'score': 'probability'})
    ours = head_of('gaussian', 'rlepose_ext.TokenSimCCHead')
    assert bin_reading(ours).top == bin_reading(head_of('gaussian')).top
    codec = {'type': 'rlepose_ext.SimCCRLELabel', 'input_size': SIZE, 'sigma': SMOOTH}
    own = head_of('gaussian', 'rlepose_ext.SimCCRLEHead', decoder=codec)
    assert not bin_reading(own, {'sigma': True}, calibrated=True).sigma
    points = MODELS.build(
        {
            'type': 'RegressionHead',
            'in_channels': 4,
            'num_joints': 1,
            'decoder': {'type': 'RegressionLabel', 'input_size': SIZE},
        }
    )
    assert bin_reading(points) is None
