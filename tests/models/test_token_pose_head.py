"""TokenPose: equal to the originals, patches and embedding by hand, attention, bad input."""

import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.codecs import MSRAHeatmap
from mmpose.registry import KEYPOINT_CODECS, MODELS
from model_case import (
    assert_finite,
    assert_learns,
    assert_no_joint_no_loss,
    assert_works_in_half,
    labelled,
)

from rlepose_ext.convert import tokenpose
from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads import TokenPoseHead
from rlepose_ext.models.heads.token_pose_head import sine_embedding, to_patches

TOTALS = {
    't': 5_816_448,
    's-v1': 6_620_736,
    's-v2': 6_227_520,
    'b': 13_465_216,
    'l-d6': 20_815_776,
    'l-d24': 27_482_400,
}
# A small head: 12 patches of 2 x 3 (width x height) on a map of 8 x 9.
C, K, MAP, PATCH, GRID = 5, 3, (8, 9), (2, 3), (3, 4)
HEATMAP = (6, 8)
CODEC = {'type': 'MSRAHeatmap', 'input_size': (24, 32), 'heatmap_size': HEATMAP, 'sigma': 1}
CODEC |= {'unbiased': True}


def make(**options):
    sizes = {'heatmap_size': HEATMAP, 'in_featuremap_size': MAP, 'patch_size': PATCH}
    width = {'embed_dims': 8, 'depths': (2,), 'num_heads': 2, 'hidden_dim': 7}
    return TokenPoseHead(C, K, **{**sizes, **width, 'decoder': CODEC, **options})


def features(batch=2):
    return (torch.randn(batch, C, MAP[1], MAP[0]),)


def samples(batch=2):
    points = np.random.default_rng(0).uniform(4, 20, (batch, 1, K, 2))
    codec = MSRAHeatmap((24, 32), HEATMAP, sigma=1, unbiased=True)
    return labelled(codec, points, None, [0, 2, 1])


def build(root, network):
    init_default_scope('mmpose')
    (path,) = root.glob(f'configs/tokenpose/tokenpose_{network}_*.py')
    config = Config.fromfile(path)
    config.model.backbone.init_cfg = None
    return MODELS.build(config.model)


def case_of(network):
    return f'tokenpose-{network.upper().replace("-V", "-v")}'


@pytest.mark.parametrize('network', TOTALS)
def test_totals(root, network):
    with torch.device('meta'):
        assert count_parameters(build(root, network)) == TOTALS[network]


LARGE = ('b', 'l-d6', 'l-d24')


@pytest.mark.parametrize(
    'network', [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in TOTALS]
)
def test_equals_the_original(root, golden, network):
    arrays, state = golden(case_of(network))
    converted = tokenpose.convert(state)
    model = build(root, network).eval()
    missing, unexpected = model.load_state_dict(converted, strict=False)
    assert not unexpected
    # counters of batch norm, which the golden cases leave out
    assert all(name.endswith('num_batches_tracked') for name in missing)
    with torch.no_grad():
        found = model.head(model.backbone(torch.from_numpy(arrays['in/image'])))
    np.testing.assert_allclose(found.numpy(), arrays['out/heatmap'], rtol=0, atol=2e-5)


def test_targets_and_decoding_of_the_original(root, golden):
    arrays, _ = golden(case_of('b'))
    (path,) = root.glob('configs/tokenpose/tokenpose_b_*.py')
    codec = KEYPOINT_CODECS.build(Config.fromfile(path).codec)
    joints = arrays['in/joints'][None].astype(np.float32)
    encoded = codec.encode(joints, arrays['in/visible'][None])
    np.testing.assert_allclose(encoded['heatmaps'], arrays['out/target'], rtol=0, atol=2e-6)
    np.testing.assert_array_equal(encoded['keypoint_weights'], arrays['out/weight'].T)
    found, _ = codec.decode(arrays['in/noisy'].copy())
    np.testing.assert_allclose(found[0], arrays['out/decoded'], rtol=0, atol=1e-4)


def test_the_loss_is_half_the_squared_error_over_labelled_joints():
    head, feats, data = make(), features(), samples()
    data[0].gt_instance_labels.keypoint_weights[0, 1] = 0
    targets = torch.stack([sample.gt_fields.heatmaps for sample in data])
    weights = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in data])
    expected = (weights[..., None, None] * (head(feats) - targets) ** 2).mean() / 2
    losses = head.loss(feats, data)
    assert losses['loss_kpt'].item() == pytest.approx(expected.item(), rel=1e-6)
    assert_no_joint_no_loss(head, feats, samples())


def test_patches_by_hand():
    maps = torch.arange(2 * 6 * 8.0).view(1, 2, 6, 8)
    patches = to_patches(maps, (4, 3))
    assert patches.shape == (1, 4, 24)
    second = [maps[0, c, y, x] for y in (0, 1, 2) for x in (4, 5, 6, 7) for c in (0, 1)]
    assert torch.equal(patches[0, 1], torch.stack(second))
    assert patches[0, 2, 0] == maps[0, 0, 3, 0]


def test_embedding_by_hand():
    found = sine_embedding(8, 3, 4)
    assert found.shape == (12, 8)
    y, x = 2 * math.pi * 2 / 3, 2 * math.pi * 4 / 4  # row 1, column 3
    by_hand = [
        f(v / 10_000 ** (j / 2)) for v in (y, x) for j in (0, 1) for f in (math.sin, math.cos)
    ]
    torch.testing.assert_close(found[1 * 4 + 3], torch.tensor(by_hand), rtol=0, atol=1e-5)


def test_the_embedding_returns_before_every_block_but_the_first():
    """In each Transformer; written out with the blocks as they are."""
    head, feats = make(depths=(2, 2), hidden_dim=None).eval(), features()
    for block in (b for blocks in head.transformers for b in blocks):
        torch.nn.init.normal_(block.attn.qkv.weight)
    (a, b), (c, d) = head.transformers
    places = sine_embedding(8, *GRID)
    add = lambda z: torch.cat([z[:, :K], z[:, K:] + places], 1)  # noqa: E731
    visual = head.patch_embed(to_patches(feats[0], PATCH))
    z = b(add(a(add(torch.cat([head.keypoint_tokens.expand(2, -1, -1), visual], 1)))))
    joined = torch.cat([z[:, :K], d(add(c(z)))[:, :K]], -1)
    expected = head.to_heatmap(joined).view(2, K, HEATMAP[1], HEATMAP[0])
    torch.testing.assert_close(head(feats), expected)


def test_attention_is_that_of_the_blocks():
    """What a token takes of a patch: from values that are 0 in all patches but one."""
    head, feats = make(depths=(1,), num_heads=1).eval(), features(1)
    torch.nn.init.normal_(head.transformers[0][0].attn.qkv.weight)
    shares = head.attention(feats)
    assert shares.shape == (1, 1, K, *GRID)
    assert 0 < shares.sum((-1, -2)).min() <= shares.sum((-1, -2)).max() < 1
    block = head.transformers[0][0]
    seen = []
    hook = block.attn.register_forward_pre_hook(lambda attn, args: seen.append(args[0]))
    head(feats)
    hook.remove()
    query, key, value = block.attn.qkv(seen[0]).chunk(3, -1)
    only = torch.zeros_like(value)
    only[:, K + 1 * GRID[1] + 2] = 1  # row 1, column 2
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, only)
    torch.testing.assert_close(shares[0, 0, :, 1, 2], mixed[0, :K, 0])


def test_the_scale_of_the_attention():
    by_default, wide = make(), make(attention_scale=8**-0.5)
    assert by_default.transformers[0][0].attn.scale == 4**-0.5
    wide.load_state_dict(by_default.state_dict())
    for head in (by_default, wide):
        # queries of half the size at twice the scale
        for block in head.transformers[0]:
            torch.nn.init.normal_(block.attn.qkv.weight, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for block in wide.transformers[0]:
            block.attn.qkv.weight[:8] *= 2**0.5
    feats = features()
    torch.testing.assert_close(wide(feats), by_default(feats))


@pytest.mark.parametrize('options', [{}, {'depths': (1, 2), 'hidden_dim': None}])
def test_a_gradient_for_every_parameter(options):
    head = make(**options)
    head.init_weights()
    assert_learns(head, head.loss(features(), samples())['loss_kpt'])


@pytest.mark.parametrize('network', ['t', 's-v1'])
def test_a_gradient_for_every_parameter_of_the_network(root, network):
    model = build(root, network)
    model.init_weights()
    heatmaps = model.head(model.backbone(torch.randn(1, 3, 256, 192)))
    assert heatmaps.shape == (1, 17, 64, 48)
    assert_learns(model, heatmaps.square().mean())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    assert_works_in_half(make(), dtype, features(), samples(), {}, {'flip_test': True})


def test_extreme_pictures_stay_finite():
    head = make()
    assert_finite(head, head.loss((1e4 * features()[0],), samples()))


def test_initialisation():
    head = make(embed_dims=64, hidden_dim=32)
    head.init_weights()
    for name, value in head.named_parameters():
        if name == 'keypoint_tokens' or (name.endswith('weight') and value.ndim == 2):
            assert value.std().item() == pytest.approx(0.02, rel=0.2), name
        else:
            expected = float(name.endswith('weight'))
            assert (value == expected).all(), name


def test_bad_input_is_named():
    for options, said in (
        ({'in_featuremap_size': (9, 9)}, r'multiple of patch_size \(2, 3\), got \(9, 9\)'),
        ({'embed_dims': 6}, 'embed_dims to be a multiple of 4, got 6'),
        ({'num_heads': 3}, 'got 8 and 3'),
        ({'depths': (2, 0)}, r'depths\[1\]'),
        ({'hidden_dim': 0}, 'hidden_dim'),
        ({'attention_scale': -1.0}, 'attention_scale'),
        ({'heatmap_size': (8, 6)}, r'heatmap_size is \(8, 6\), that of the decoder'),
    ):
        with pytest.raises(UserError, match=said):
            make(**options)
    head, (feat,) = make(), features()
    with pytest.raises(UserError, match=r'one feature map, got 2: \(5, 9, 8\), \(5, 9, 8\)'):
        head((feat, feat))
    with pytest.raises(UserError, match=r'\(5, 9, 8\), got \(5, 8, 9\)'):
        head((feat.transpose(2, 3),))
