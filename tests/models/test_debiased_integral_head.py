"""Integral regression without its bias: closed forms, the pole, and MMPose's head beside it."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.models.heads import DSNTHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from model_case import labelled, share_weights

from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.integral import DebiasedIntegralHead, integral, remove_bias

W, H = 12, 16
CODEC = {
    'type': 'IntegralRegressionLabel',
    'input_size': (4 * W, 4 * H),
    'heatmap_size': (W, H),
    'sigma': 2.0,
    'normalize': True,
}
ARGUMENTS = {
    'in_channels': 8,
    'in_featuremap_size': (W // 4, H // 4),
    'num_joints': 3,
    'deconv_out_channels': (8, 8),
    'deconv_kernel_sizes': (4, 4),
    'decoder': CODEC,
}


def peaks(positions, height):
    """One map for each (x, y), zero but for that pixel; shape (1, K, H, W)."""
    logits = torch.zeros(1, len(positions), H, W, dtype=torch.float64)
    for joint, (x, y) in enumerate(positions):
        logits[0, joint, y, x] = height
    return logits


POSITIONS = [(0, 0), (W - 1, 0), (3, 14), (5, 7), (W - 1, H - 1)]
TRUE = torch.tensor(POSITIONS, dtype=torch.float64) / torch.tensor([W, H])


@pytest.mark.parametrize(('beta', 'height'), [(1.0, 5.0), (10.0, 0.6), (10.0, 1.0)])
def test_a_peak_on_an_empty_map_is_recovered(beta, height):
    coords, heatmaps, log_mass = integral(peaks(POSITIONS, height), beta)
    mass = W * H - 1 + np.exp(beta * height)
    torch.testing.assert_close(log_mass.exp(), torch.full_like(log_mass, mass))
    torch.testing.assert_close(heatmaps.sum((-1, -2)), torch.ones_like(log_mass))
    # the biased position, by hand: everything else of the map pulls to the middle
    middle = (torch.tensor([W, H], dtype=torch.float64) - 1) / 2 / torch.tensor([W, H])
    weight = W * H / mass
    torch.testing.assert_close(coords[0], weight * middle + (1 - weight) * TRUE)
    assert (coords[0] - TRUE).abs().max() > 0.004
    torch.testing.assert_close(remove_bias(coords, log_mass, (W, H))[0], TRUE)


def test_it_is_the_formula_of_the_paper():
    # J' = (C J - HW / 2) / (C - HW), for pixels at their centres: (j + 1/2) / W
    logits = torch.rand(2, 3, H, W, dtype=torch.float64)
    half_pixel = torch.tensor([0.5 / W, 0.5 / H], dtype=torch.float64)
    coords, _, log_mass = integral(logits, 5.0)
    mass = log_mass.exp()[..., None]
    theirs = (mass * (coords + half_pixel) - W * H / 2) / (mass - W * H)
    torch.testing.assert_close(remove_bias(coords, log_mass, (W, H)) + half_pixel, theirs)


def test_no_peak_no_pole():
    logits = torch.stack([torch.zeros(H, W), torch.full((H, W), -0.3), torch.randn(H, W) * 1e-4])
    logits = logits[None].requires_grad_()
    coords, _, log_mass = integral(logits, 10.0)
    out = remove_bias(coords, log_mass, (W, H), max_gain=20.0)
    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(logits.grad).all()
    middle = torch.tensor([(W - 1) / 2 / W, (H - 1) / 2 / H])
    assert torch.allclose(out[0, :2], middle.expand(2, 2), atol=1e-4)
    # the limit of the factor
    torch.testing.assert_close(out - middle, 20.0 * (coords - middle), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_great_logits_do_not_overflow(dtype):
    logits = (1000 * peaks(POSITIONS, 1.0)).to(dtype)
    coords, heatmaps, log_mass = integral(logits, 10.0)
    out = remove_bias(coords, log_mass, (W, H))
    assert out.dtype == heatmaps.dtype == torch.float32
    torch.testing.assert_close(out[0], TRUE.float())


def test_no_constant_is_copied_to_the_device():
    class Coords(torch.nn.Module):
        def forward(self, logits):
            coords, _, log_mass = integral(logits, 10.0)
            return remove_bias(coords, log_mass, (W, H))

    program = torch.export.export(Coords(), (peaks(POSITIONS, 1.0),))
    assert not program.constants


def test_gradients():
    logits = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)

    def function(logits):
        coords, _, log_mass = integral(logits, 3.0)
        return remove_bias(coords, log_mass, (5, 4))

    assert torch.autograd.gradcheck(function, logits)


def both(**changes):
    init_default_scope('mmpose')
    arguments = {**ARGUMENTS, **changes}
    ours = MODELS.build({'type': 'rlepose_ext.DebiasedIntegralHead', **arguments})
    stock = DSNTHead(**arguments)
    share_weights(ours, stock)
    return ours.eval(), stock.eval()


@pytest.mark.parametrize('layers', ['deconvolutions', 'one convolution', 'none'])
def test_without_the_correction_it_is_mmposes(layers):
    changes = {'debias': False, 'beta': 3.0}
    if layers != 'deconvolutions':
        changes |= {'deconv_out_channels': None, 'in_featuremap_size': (W, H)}
    if layers == 'none':
        changes |= {'final_layer': None, 'in_channels': 3}
    ours, stock = both(**changes)
    assert isinstance(ours, DebiasedIntegralHead)
    size = (H // 4, W // 4) if layers == 'deconvolutions' else (H, W)
    feats = (torch.randn(2, changes.get('in_channels', 8), *size),)
    for mine, theirs in zip(ours(feats), stock(feats), strict=True):
        torch.testing.assert_close(mine, theirs)
    positions = peaks([(3, 9)], 1.0)
    assert ours.heatmap_size == positions.shape[:1:-1]


def test_mmposes_own_correction_leaves_the_bias():
    ours, stock = both(
        deconv_out_channels=None,
        final_layer=None,
        in_featuremap_size=(W, H),
        in_channels=5,
        debias=True,
        beta=10.0,
    )
    feats = (peaks(POSITIONS, 0.8).float(),)
    errors = [(head(feats)[0][0] - TRUE).abs().max().item() for head in (ours, stock)]
    assert errors[0] < 1e-5
    assert errors[1] > 0.02


def test_bad_input_is_named():
    ours, _ = both()
    with pytest.raises(UserError, match=r'\(12, 16\), got \(24, 32\)'):
        ours((torch.randn(1, 8, 2 * H // 4, 2 * W // 4),))
    with pytest.raises(ValueError, match='max_gain'):
        DebiasedIntegralHead(**ARGUMENTS, max_gain=0.5)


def test_loss_and_prediction():
    init_default_scope('mmpose')
    head = DebiasedIntegralHead(**ARGUMENTS, beta=10.0)
    keypoints = np.array([[[[10.0, 20.0], [24.0, 32.0], [40.0, 50.0]]]])
    data = labelled(KEYPOINT_CODECS.build(CODEC), keypoints, None, [0, 2, 1])
    feats = torch.randn(1, 8, H // 4, W // 4)
    head.loss((feats,), data)['loss_kpt'].backward()
    for name, parameter in head.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    head.eval()
    with torch.no_grad():
        (pose,) = head.predict([(feats,), (feats.flip(-1),)], data, {'flip_test': True})
    assert pose.keypoints.shape == (1, 3, 2)
