"""Gated attention inside of the backbone, and the unit that it shares with the head."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import HRNetLiteGAU
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.layers import GatedAttentionUnit

SIZE, WIDTH = (32, 48), 4
GAU = {'expansion': 2, 'key_dim': 8, 'attention': 'softmax_plus'}
# 32 x 48 at strides 4, 8, 16
DIMS = (96, 24, 6)


def unit_parameters(dim, s=8):
    return dim * (4 * dim + s) + 2 * dim * dim + 2 * s


NARROW = {'type': 'Linear', 'dim': 10}


@pytest.fixture
def model():
    init_default_scope('mmpose')
    return MODELS.build(config())


def config(**changes):
    backbone = {'type': 'rlepose_ext.HRNetLiteGAU', 'input_size': SIZE, 'gau': GAU, 'width': WIDTH}
    head = {
        'type': 'rlepose_ext.TokenSimCCHead',
        'in_channels': WIDTH,
        'out_channels': 5,
        'input_size': SIZE,
        'in_featuremap_size': (8, 12),
        'blocks': [{'type': 'GAU', **GAU}],
    }
    return {
        'type': 'rlepose_ext.SharedGAUPoseEstimator',
        'backbone': {**backbone, **changes.get('backbone', {})},
        'head': {**head, **changes.get('head', {})},
    }


def images(batch=2):
    return torch.randn(batch, 3, SIZE[1], SIZE[0])


def test_the_shared_unit_counts_and_is_saved_once(model):
    head = model.head
    plain = MODELS.build({'type': 'rlepose_ext.HRNetLite', 'width': WIDTH})
    own = unit_parameters(DIMS[1]) + unit_parameters(DIMS[2])
    assert count_parameters(model.backbone) == count_parameters(plain) + own
    assert count_parameters(model) == count_parameters(model.backbone) + count_parameters(head)
    assert sum(p.numel() for p in head.blocks[0].parameters()) == unit_parameters(DIMS[0])
    names = [key for key in model.state_dict() if key.endswith('contract.weight')]
    assert names == [
        'backbone.gaus.0.contract.weight',
        'backbone.gaus.1.contract.weight',
        'head.blocks.0.contract.weight',
    ]


def test_each_unit_runs_on_the_channels_of_its_map(model):
    model.eval()
    backbone = model.backbone
    maps = [torch.randn(2, WIDTH << i, 12 >> i, 8 >> i) for i in range(3)]
    units = [model.head.blocks[0], *backbone.gaus]
    for m, unit, refined in zip(maps, units, backbone.refine_stage3_inputs(maps), strict=True):
        assert refined.shape == m.shape
        # a channel is a token: the flattened map in, a map out
        tokens = unit(m.reshape(2, m.shape[1], -1))
        assert torch.equal(refined.reshape(2, m.shape[1], -1), tokens)


def test_stage_3_reads_the_refined_maps(model):
    model.eval()
    backbone, feats = model.backbone, []
    backbone.taps = ('stage3_input0', 'stage3_input1', 'stage3_input2')
    backbone.stage3.register_forward_pre_hook(lambda _, inputs: feats.extend(inputs[0]))
    *taps, final = backbone(images())
    assert final.shape == (2, WIDTH, 12, 8)
    for tap, feat in zip(taps, feats[:3], strict=True):
        # post-norm: a token has a mean square of 1; less if its channel is dead, or so weak that
        # the norm's eps shows
        size = tap.flatten(2).square().mean(-1)
        assert size.max() < 1 + 1e-4
        assert (size > 1 - 1e-4).float().mean() > 0.3
        assert feat.shape == tap.shape


def test_gradients_of_both_uses_add_up(model):
    def gradient(backbone_uses_it):
        torch.manual_seed(0)
        model.zero_grad()
        feats = model.backbone(images())
        outputs = model.head(feats if backbone_uses_it else tuple(f.detach() for f in feats))
        sum(output.square().sum() for output in outputs).backward()
        return model.head.blocks[0].contract.weight.grad.clone()

    model.head.init_weights()
    nn.init.normal_(model.head.final_layer.weight)
    nn.init.normal_(model.head.mlp_head_x.weight)
    model.eval()
    assert not torch.allclose(gradient(True), gradient(False), rtol=1e-3)
    gradient(True)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_copies_share_among_themselves(model):
    clone = copy.deepcopy(model)
    assert clone.backbone._shared[0] is clone.head.blocks[0]
    assert clone.head.blocks[0] is not model.head.blocks[0]
    clone.load_state_dict(model.state_dict())
    x = images()
    assert torch.equal(clone.eval()(x, None)[0], model.eval()(x, None)[0])


def test_bad_input_is_named(model):
    for size, gau, said in (
        ((32, 40), GAU, 'multiples of 16'),
        (SIZE, {**GAU, 'heads': 2}, "'heads'; it takes expansion_dim"),
    ):
        with pytest.raises(UserError, match=said):
            HRNetLiteGAU(size, gau)
    with pytest.raises(UserError, match=r'branch 0 has no unit.*SharedGAUPoseEstimator'):
        HRNetLiteGAU(SIZE, GAU, width=WIDTH)(images())
    with pytest.raises(UserError, match='expected an input of 32 x 48, got one of 64 x 48'):
        model(torch.zeros(1, 3, 48, 64), None)
    with pytest.raises(UserError, match='without external query'):
        model.backbone.share_gau(GatedAttentionUnit(96, 10, external_query=True))
    for blocks, said in (
        ([], 'one GAU among its blocks'),
        ([NARROW, {'type': 'GAU', **GAU}], 'the unit to share takes tokens of 10'),
    ):
        with pytest.raises(UserError, match=said):
            MODELS.build(config(head={'blocks': blocks}))
