"""The calibrated half: the formula pixel by pixel, parameters, small maps."""

import torch
from torch import nn

from rlepose_ext.models.backbones.scnet import PoolBlocks, SelfCalibratedConv, self_calibrate

BN = {'type': 'BN'}


def test_gate_pixel_by_pixel():
    x, content = torch.randn(2, 1, 3, 8, 12)
    context = torch.randn(1, 3, 2, 3)
    out = self_calibrate(x, content, context)
    for c in range(3):
        for i in range(8):
            for j in range(12):
                gate = 1 / (1 + torch.exp(-x[0, c, i, j] - context[0, c, i // 4, j // 4]))
                torch.testing.assert_close(out[0, c, i, j], content[0, c, i, j] * gate)


def test_paper_formula_with_hand_set_weights():
    """K3 and K4 pass their input on, K2 takes the mean of its 3x3 blocks."""
    conv = SelfCalibratedConv(1, stride=1, norm_cfg=BN).eval()
    centre = torch.zeros(1, 1, 3, 3)
    centre[..., 1, 1] = 1
    conv.k2[1].weight.data.fill_(1 / 9)
    conv.k3[0].weight.data.copy_(centre)
    conv.k4[0].weight.data.copy_(centre)
    for module in conv.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-12
    x = torch.randn(1, 1, 8, 8)
    blocks = x.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(4, 5))
    # All 2x2 blocks are neighbours, so the 3x3 mean, with zeros around, is their sum over 9.
    gate = torch.sigmoid(x + blocks.sum() / 9)
    torch.testing.assert_close(conv(x), (x * gate).relu())


def test_parameters_and_stride():
    conv = SelfCalibratedConv(6, stride=2, norm_cfg=BN)
    assert sum(p.numel() for p in conv.parameters()) == 27 * 6**2 + 6 * 6
    assert conv(torch.rand(2, 6, 9, 16)).shape == (2, 6, 5, 8)


def test_blocks_as_stock_pools_and_small_maps_are_one_block():
    pool, stock = PoolBlocks(4), nn.AvgPool2d(4, 4)
    for shape in ((8, 8), (9, 15), (4, 6)):
        x = torch.rand(1, 2, *shape)
        assert torch.equal(pool(x), stock(x))
    x = torch.rand(1, 2, 2, 8)
    torch.testing.assert_close(pool(x), x.reshape(1, 2, 2, 2, 4).mean(dim=(2, 4))[:, :, None])
    assert pool(torch.rand(1, 2, 1, 1)).shape == (1, 2, 1, 1)
