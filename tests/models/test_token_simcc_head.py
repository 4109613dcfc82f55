"""The head of the HRNet-Lite family: parity with SimCCHead, the order of its blocks, bad input."""

import numpy as np
import pytest
import torch
from mmpose.codecs import SimCCLabel
from mmpose.models.heads import SimCCHead
from model_case import assert_learns, labelled

from rlepose_ext.errors import UserError
from rlepose_ext.models.heads import TokenSimCCHead
from rlepose_ext.models.layers.coord_attention import CoordAttention
from rlepose_ext.models.layers.gated_attention import GatedAttentionUnit
from rlepose_ext.models.layers.skeleton import skeleton_graph

C, K, SIZE, MAP = 6, 5, (24, 32), (6, 8)
AREA, BINS = 48, (48, 64)
EDGES = [(0, 1), (1, 2), (0, 3), (3, 4)]
CODEC = {'type': 'SimCCLabel', 'input_size': SIZE, 'sigma': 2.0, 'simcc_split_ratio': 2.0}
GCN = {'type': 'SemGCN', 'hidden_dim': 7, 'num_blocks': 1}
NO_DROPOUT = {'dropout': 0.0, 'attention_dropout': 0.0}
GAU = {'type': 'GAU', 'expansion': 2, 'key_dim': 4, **NO_DROPOUT}
MAP_QUERY = {'source': 0, 'in_channels': 3, 'downscale': 2, 'hidden_dim': 7, 'num_blocks': 1}
CROSS_MAP = {**GAU, 'type': 'CrossGAU', 'query': MAP_QUERY}
CROSS_HEAD = {**CROSS_MAP, 'query': {'source': 'head', 'hidden_dim': 7}}
NARROW = {'type': 'ScaleNormLinear', 'dim': 10}
LINEAR = {'type': 'Linear', 'dim': 9}
PARALLEL = {'type': 'Parallel', 'blocks': [GAU, GCN]}

# Wirings that the family uses and some that it does not.
WIRINGS = {
    'plain': {},
    'ca': {'blocks': [{'type': 'CoordAttention', 'reduction': 2}]},
    'narrow': {'blocks': [NARROW, GAU]},
    'before': {'blocks': [LINEAR, {**GCN, 'out_dim': 'map'}, GAU]},
    'after': {'blocks': [GAU], 'logit_blocks': [{'type': 'SemGCN', 'hidden_ratio': 0.5}]},
    'classifier': {'blocks': [LINEAR, GAU], 'classifier': GCN},
    'cross-map': {'blocks': [CROSS_MAP], 'classifier': GCN},
    'cross-head': {'blocks': [NARROW, CROSS_HEAD]},
    'parallel': {'blocks': [PARALLEL]},
    'graph only': {'blocks': [GCN], 'classifier': GCN},
}
each_wiring = pytest.mark.parametrize('wiring', WIRINGS.values(), ids=WIRINGS)


def make(**options):
    sizes = {'in_channels': C, 'out_channels': K, 'input_size': SIZE, 'in_featuremap_size': MAP}
    return TokenSimCCHead(**{**sizes, 'decoder': CODEC, 'skeleton': EDGES, **options})


def stock():
    return SimCCHead(C, K, SIZE, MAP, deconv_out_channels=None, decoder=CODEC)


def features(batch=2):
    return torch.rand(batch, 3, MAP[1] // 2, MAP[0] // 2), torch.rand(batch, C, MAP[1], MAP[0])


def samples(batch=2):
    points = np.random.default_rng(0).uniform(0, SIZE, (batch, 1, K, 2))
    return labelled(SimCCLabel(SIZE, sigma=2.0), points, None, [0, 1, 2, 4, 3])


def test_without_blocks_it_is_stocks_head():
    ours, theirs = make().eval(), stock().eval()
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    feats, flipped, data = features(), features(), samples()
    for a, b in zip(ours(feats), theirs(feats), strict=True):
        assert torch.equal(a, b)
    a, b = ours.loss(feats, data), theirs.loss(feats, data, {})
    assert set(a) == set(b) == {'loss_kpt', 'acc_pose'}
    assert all(torch.equal(a[key], b[key]) for key in a)
    test_cfg = {'flip_test': True}
    with torch.no_grad():
        a = ours.predict([feats, flipped], data, test_cfg)
        b = theirs.predict([feats, flipped], data, test_cfg)
        plain = ours.predict(feats, data)
    for x, y in zip(a, b, strict=True):
        assert np.array_equal(x.keypoints, y.keypoints)
        assert np.array_equal(x.keypoint_scores, y.keypoint_scores)
    assert plain[0].keypoints.shape == (1, K, 2)


def test_the_same_initialisation_as_stock_and_blocks_keep_theirs():
    linear = {'type': 'Linear', 'dim': 300}
    gau = {'type': 'GAU', 'expansion_dim': 400}
    head = make(blocks=[{'type': 'CoordAttention'}, linear, gau])
    own = head.blocks[1].weight.detach().clone()
    head.init_weights()
    assert head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.3)
    assert head.mlp_head_x.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not head.mlp_head_x.bias.any()
    xavier = (2 / (300 + 928)) ** 0.5
    assert head.blocks[2].expand.weight.std().item() == pytest.approx(xavier, rel=0.05)
    assert torch.equal(head.blocks[1].weight, own)
    assert head.blocks[0].gate_h.weight.std() > 0.1


@each_wiring
def test_shapes_and_a_gradient_for_every_parameter(wiring):
    head = make(**wiring)
    head.init_weights()
    # the classes' own small start makes gradients of early layers vanish in float32
    torch.nn.init.normal_(head.final_layer.weight)
    x, y = head(features(1))
    assert (x.shape, y.shape) == ((1, K, BINS[0]), (1, K, BINS[1]))
    assert_learns(head, head.loss(features(), samples())['loss_kpt'])


def test_order_of_the_blocks():
    blocks = [NARROW, {'type': 'Parallel', 'blocks': [CROSS_MAP, GCN]}, CROSS_HEAD]
    head = make(blocks=blocks, logit_blocks=[GCN, GCN]).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    early, last = features()
    tokens = head.final_layer(last).flatten(2)
    narrow, parallel, cross = head.blocks
    x = narrow(tokens)
    cross_map, graph = parallel.blocks
    query = cross_map.query.gcn(cross_map.query.conv(early).flatten(2))
    x = GatedAttentionUnit.forward(cross_map, x, query) + graph(x)
    # The head's own map is read before any block.
    x = GatedAttentionUnit.forward(cross, x, cross.query.gcn(tokens))
    for axis, got in zip('xy', head((early, last)), strict=True):
        wanted = getattr(head, f'mlp_head_{axis}')(x)
        for block in head.logit_blocks[axis]:
            wanted = block(wanted)
        assert torch.equal(got, wanted)


def test_coordinate_attention_is_over_the_maps():
    head = make(blocks=[{'type': 'CoordAttention', 'reduction': 2}]).eval()
    last = features()[-1]
    maps = CoordAttention.forward(head.blocks[0], head.final_layer(last))
    assert torch.equal(head((last,))[0], head.mlp_head_x(maps.flatten(2)))


# As the state dicts had them when every block had a place of its own.
OLD_KEYS = {
    'ca': {'blocks.0.': 'coord_attention.'},
    'narrow': {'blocks.0.': 'embed.', 'blocks.1.': 'gau.'},
    'before': {'blocks.0.': 'embed.', 'blocks.1.': 'gcn_before.', 'blocks.2.': 'gau.'},
    'after': {
        'blocks.0.': 'gau.',
        'logit_blocks.x.0.': 'gcn_after.x.',
        'logit_blocks.y.0.': 'gcn_after.y.',
    },
    'cross-map': {'blocks.0.query.': 'query.', 'blocks.0.': 'gau.'},
    'parallel': {'blocks.0.blocks.0.': 'gau.', 'blocks.0.blocks.1.': 'gcn_parallel.'},
}


@pytest.mark.parametrize('variant', OLD_KEYS)
def test_earlier_state_dicts_load(variant):
    head, copy = make(**WIRINGS[variant]).eval(), make(**WIRINGS[variant]).eval()
    old = {}
    for key, value in head.state_dict().items():
        new = next((new for new in OLD_KEYS[variant] if key.startswith(new)), '')
        old['head.' + OLD_KEYS[variant].get(new, '') + key[len(new) :]] = value
    torch.nn.ModuleDict({'head': copy}).load_state_dict(old)
    feats = features()
    assert torch.equal(copy(feats)[0], head(feats)[0])


def test_joints_without_a_graph_have_no_order():
    head = make(blocks=[GAU]).eval()
    torch.nn.init.normal_(head.final_layer.weight)
    feats, order = features(), [3, 1, 4, 0, 2]
    before = head(feats)
    with torch.no_grad():
        head.final_layer.weight.copy_(head.final_layer.weight[order])
        head.final_layer.bias.copy_(head.final_layer.bias[order])
    for a, b in zip(head(feats), before, strict=True):
        assert torch.allclose(a, b[:, order], atol=1e-5)


def test_the_graph_limits_who_sees_whom():
    # Two convolutions: what joint 0 has reaches its neighbour 1 and that one's, 2.
    line = [(0, 1), (1, 2), (2, 3), (3, 4)]
    head = make(skeleton=line, blocks=[{**GCN, 'num_blocks': 0}]).eval()
    feats = features()
    before = head(feats)[0]
    with torch.no_grad():
        head.final_layer.bias[0] += 1
    changed = (head(feats)[0] - before).abs().amax((0, 2)) > 1e-7
    assert changed.tolist() == [True, True, True, False, False]


def test_coco_skeleton_by_name():
    graph = skeleton_graph('coco', 17)
    assert int(graph.sum()) == 17 + 2 * 19
    head = TokenSimCCHead(C, 17, SIZE, MAP, classifier=GCN)
    assert head.mlp_head_x[0].conv.edges.shape == (55,)


BAD = {
    'map of another shape': ({'in_featuremap_size': (7, 8)}, 'does not fit input_size'),
    'codec of another split': ({'simcc_split_ratio': 3.0}, 'simcc_split_ratio is 3.0'),
    'no list': ({'blocks': GAU}, 'blocks: expected a list'),
    'no block': ({'blocks': [GAU, True]}, r'blocks\[1\]: expected a dict with type.*got True'),
    'unknown block': ({'blocks': [{'type': 'MLP'}]}, "one of .*'GAU'.*'MLP'"),
    'unknown option': ({'blocks': [{**GCN, 'heads': 4}]}, "SemGCN: .*'heads'; it takes hidden_dim"),
    'unknown option of a unit': ({'blocks': [{**GAU, 'heads': 4}]}, "GAU: .*'heads'"),
    'two widths': ({'blocks': [{**GCN, 'hidden_ratio': 1}]}, 'either hidden_dim'),
    'maps no more': ({'blocks': [LINEAR, {'type': 'CoordAttention'}]}, 'tokens of 48 .* got 9'),
    'two sizes': ({'blocks': [{'type': 'Parallel', 'blocks': [GAU, LINEAR]}]}, r'got \[9, 48\]'),
    'unknown source': (
        {'blocks': [{**CROSS_MAP, 'query': {'source': 'neck', 'hidden_dim': 7}}]},
        "got source='neck'",
    ),
    'too small a map': (
        {'blocks': [{**CROSS_MAP, 'query': {**MAP_QUERY, 'downscale': 4}}]},
        '4 times smaller',
    ),
    'channels of the head': (
        {'blocks': [{**CROSS_MAP, 'query': {**MAP_QUERY, 'source': 'head'}}]},
        'takes neither',
    ),
    'skeleton of other joints': ({'blocks': [GCN], 'skeleton': 'coco'}, 'the head has 5'),
    'unknown skeleton': ({'skeleton': 'hand'}, "one of .*'coco'.*'hand'"),
    'edge to nowhere': ({'blocks': [GCN], 'skeleton': [(0, 5)]}, r'from 0 to 4, got \(0, 5\)'),
}


@pytest.mark.parametrize(('options', 'message'), BAD.values(), ids=BAD)
def test_bad_options_are_named_when_the_head_is_built(options, message):
    with pytest.raises(UserError, match=message):
        make(**options)


def test_bad_input_is_named():
    head = make(blocks=[CROSS_MAP])
    early, last = features()
    for feats, said in (
        ((early, last.transpose(2, 3)), r'\(6, 8, 6\), got \(6, 6, 8\)'),
        ((last, last), r'query: expected .* \(3, 4, 3\), got \(6, 8, 6\)'),
        ((last,), 'taps of the backbone'),
    ):
        with pytest.raises(UserError, match=said):
            head(feats)
