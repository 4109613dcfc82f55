"""The head of the HRNet-Lite family: parity with SimCCHead, the order of its blocks, bad input."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.models.heads import SimCCHead
from mmpose.structures import PoseDataSample

from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads import TokenSimCCHead
from rlepose_ext.models.layers.build import build_gcn, skeleton_graph

C, K, SIZE, MAP = 6, 5, (24, 32), (6, 8)
AREA, BINS = 48, (48, 64)
EDGES = [(0, 1), (1, 2), (0, 3), (3, 4)]
CODEC = {'type': 'SimCCLabel', 'input_size': SIZE, 'sigma': 2.0, 'simcc_split_ratio': 2.0}
GCN = {'hidden_dim': 7, 'num_blocks': 1}
GAU = {'expansion': 2, 'key_dim': 4, 'dropout': 0.0, 'attention_dropout': 0.0}
MAP_QUERY = {'source': 0, 'in_channels': 3, 'downscale': 2, **GCN}

# Every place, in wirings that the family uses and some that it does not.
WIRINGS = {
    'plain': {},
    'ca': {'coord_attention': {'reduction': 2}},
    'embed': {'embed': {'dim': 10, 'norm': 'scale'}},
    'gau': {'gau': GAU},
    'narrow': {'embed': {'dim': 10, 'norm': 'scale'}, 'gau': GAU},
    'before': {'embed': {'dim': 9, 'bias': True}, 'gcn_before': GCN, 'gau': GAU},
    'after': {'gau': GAU, 'gcn_after': {'hidden_ratio': 0.5}},
    'classifiers': {'embed': {'dim': 10}, 'gau': GAU, 'classifiers': GCN},
    'cross-map': {'gau': GAU, 'query': MAP_QUERY, 'classifiers': GCN},
    'cross-head': {'gau': GAU, 'query': {'source': 'head', **GCN}},
    'parallel': {'gau': GAU, 'gcn_parallel': GCN},
    'graph only': {'gcn_before': GCN, 'classifiers': GCN},
}
each_wiring = pytest.mark.parametrize('wiring', WIRINGS.values(), ids=WIRINGS)


def make(**options):
    sizes = {'in_channels': C, 'out_channels': K, 'input_size': SIZE, 'in_featuremap_size': MAP}
    return TokenSimCCHead(**{**sizes, 'decoder': CODEC, 'skeleton': EDGES, **options})


def stock():
    return SimCCHead(C, K, SIZE, MAP, deconv_out_channels=None, decoder=CODEC)


def features(batch=2):
    return torch.rand(batch, 3, MAP[1] // 2, MAP[0] // 2), torch.rand(batch, C, MAP[1], MAP[0])


def samples(batch=2, joints=K):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(batch):
        labels = InstanceData()
        for axis, n in zip('xy', BINS, strict=True):
            values = torch.tensor(rng.random((1, joints, n)), dtype=torch.float32)
            labels[f'keypoint_{axis}_labels'] = values / values.sum(-1, keepdim=True)
        labels.keypoint_weights = torch.ones(1, joints)
        sample = PoseDataSample(metainfo={'flip_indices': [0, 1, 2, 4, 3], 'input_size': SIZE})
        sample.gt_instance_labels = labels
        found.append(sample)
    return found


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
    head = make(gau={'expansion_dim': 400}, embed={'dim': 300}, coord_attention={})
    own = head.embed.weight.detach().clone()
    head.init_weights()
    assert head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.3)
    assert head.mlp_head_x.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not head.mlp_head_x.bias.any()
    xavier = (2 / (300 + 928)) ** 0.5
    assert head.gau.expand.weight.std().item() == pytest.approx(xavier, rel=0.05)
    assert torch.equal(head.embed.weight, own)
    assert head.coord_attention.gate_h.weight.std() > 0.1


@each_wiring
def test_shapes_and_a_gradient_for_every_parameter(wiring):
    head = make(**wiring)
    head.init_weights()
    # the classes' own small start makes gradients of early layers vanish in float32
    torch.nn.init.normal_(head.final_layer.weight)
    x, y = head(features(1))
    assert (x.shape, y.shape) == ((1, K, BINS[0]), (1, K, BINS[1]))
    losses = head.loss(features(), samples())
    assert set(losses) == {'loss_kpt', 'acc_pose'}
    losses['loss_kpt'].backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@each_wiring
def test_one_batch_is_learnt(wiring):
    head, feats, data = make(**wiring), features(), samples()
    head.init_weights()
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    first = head.loss(feats, data)['loss_kpt'].item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = head.loss(feats, data)['loss_kpt']
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8 * first


def test_order_of_the_blocks():
    head = make(
        coord_attention={},
        embed={'dim': 10, 'norm': 'scale'},
        gcn_before=GCN,
        gau=GAU,
        query=MAP_QUERY,
        gcn_parallel=GCN,
        gcn_after=GCN,
    ).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    early, last = features()
    tokens = head.coord_attention(head.final_layer(last)).flatten(2)
    x = head.gcn_before(head.embed(tokens))
    assert x.shape == (2, K, AREA)
    query = head.query.gcn(head.query.conv(early).flatten(2))
    x = head.gau(x, query) + head.gcn_parallel(x)
    expected = [
        head.gcn_after[axis](layer(x))
        for axis, layer in (('x', head.mlp_head_x), ('y', head.mlp_head_y))
    ]
    for got, wanted in zip(head((early, last)), expected, strict=True):
        assert torch.equal(got, wanted)


def test_query_of_the_head_reads_its_tokens_before_the_projection():
    head = make(embed={'dim': 10}, gau=GAU, query={'source': 'head', **GCN}).eval()
    feats = features()
    tokens = head.final_layer(feats[-1]).flatten(2)
    query = head.query.gcn(tokens)
    assert query.shape == (2, K, GAU['key_dim'])
    expected = head.mlp_head_x(head.gau(head.embed(tokens), query))
    assert torch.equal(head(feats)[0], expected)
    assert torch.equal(head(feats[-1:])[0], expected)


def test_query_of_another_map_is_used():
    head = make(gau=GAU, query=MAP_QUERY).eval()
    early, last = features()
    assert not torch.allclose(head((early, last))[0], head((-early, last))[0])


@pytest.mark.parametrize('attention', ['softmax', 'softmax_plus', 'relu2'])
def test_joints_without_a_graph_have_no_order(attention):
    head = make(gau={**GAU, 'attention': attention}).eval()
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
    head = make(skeleton=line, gcn_before={'hidden_dim': 7, 'num_blocks': 0}).eval()
    feats = features()
    before = head(feats)[0]
    with torch.no_grad():
        head.final_layer.bias[0] += 1
    changed = (head(feats)[0] - before).abs().amax((0, 2)) > 1e-7
    assert changed.tolist() == [True, True, True, False, False]


def test_state_dict_has_weights_only():
    head = make(gau=GAU, query=MAP_QUERY, classifiers=GCN)
    names = {name for name, _ in head.named_parameters()}
    buffers = {key for key in head.state_dict() if key not in names}
    assert {key.rpartition('.')[2] for key in buffers} == {
        'running_mean',
        'running_var',
        'num_batches_tracked',
    }
    copy = make(gau=GAU, query=MAP_QUERY, classifiers=GCN).eval()
    copy.load_state_dict(head.state_dict())
    feats = features()
    assert torch.equal(copy(feats)[1], head.eval()(feats)[1])


def test_widths_as_multiples():
    a = make(gau={'expansion': 2}, gcn_before={'hidden_ratio': 1.0}, gcn_after={'hidden_ratio': 2})
    assert a.gau.contract.in_features == 2 * AREA
    assert a.gcn_before[0].conv.weight.shape == (2, AREA, AREA)
    assert a.gcn_after['x'][0].conv.weight.shape[1] == 2 * BINS[0]
    assert a.gcn_after['y'][0].conv.weight.shape[1] == 2 * BINS[1]
    b = make(
        gau={'expansion_dim': 96}, gcn_before={'hidden_dim': 48}, gcn_after={'hidden_ratio': 2.0}
    )
    assert count_parameters(a) == count_parameters(b)


def test_coco_skeleton_by_name():
    graph = skeleton_graph('coco', 17)
    assert int(graph.sum()) == 17 + 2 * 19
    head = TokenSimCCHead(C, 17, SIZE, MAP, classifiers=GCN)
    assert head.mlp_head_x[0].conv.edges.shape == (55,)


BAD = {
    'map of another shape': ({'in_featuremap_size': (6, 6)}, 'does not fit input_size'),
    'map not a divisor': ({'in_featuremap_size': (7, 8)}, 'does not fit input_size'),
    'codec of another size': ({'decoder': {**CODEC, 'input_size': (32, 32)}}, 'decoder'),
    'codec of another split': ({'simcc_split_ratio': 3.0}, 'simcc_split_ratio is 3.0'),
    'unknown attention': ({'gau': {**GAU, 'attention': 'max'}}, "attention.*softmax_plus.*'max'"),
    'unknown norm of the unit': ({'gau': {**GAU, 'norm': 'batch'}}, "norm.*'batch'"),
    'unknown norm of the projection': ({'embed': {'dim': 4, 'norm': 'layer'}}, "'layer'"),
    'no size of the projection': (
        {'embed': {'norm': 'scale'}},
        'dim to be a whole number .* got None',
    ),
    'unknown option': ({'gau': {**GAU, 'heads': 4}}, "gau: unknown option 'heads'"),
    'options that are no dict': ({'gau': True}, 'gau: expected a dict of options, got True'),
    'no width': ({'gau': {'key_dim': 4}}, 'either expansion_dim or expansion'),
    'two widths': ({'gcn_before': {'hidden_dim': 4, 'hidden_ratio': 1}}, 'either hidden_dim'),
    'no width left': ({'gau': {'expansion': 0.001}}, 'times 48 .* at least 1, got 0.001'),
    'width as text': ({'gau': {'expansion': '2'}}, "expansion .* number above 0, got '2'"),
    'broken width': ({'gau': {'expansion_dim': 9.5}}, 'expansion_dim .* whole number .* got 9.5'),
    'no joints': ({'out_channels': 0}, 'out_channels .* at least 1, got 0'),
    'list of channels': ({'in_channels': [6, 6]}, r'in_channels .* got \[6, 6\]'),
    'no downscale': ({'gau': GAU, 'query': {**MAP_QUERY, 'downscale': 0}}, 'downscale .* got 0'),
    'query without a unit': ({'query': MAP_QUERY}, 'need gau'),
    'parallel without a unit': ({'gcn_parallel': GCN}, 'need gau'),
    'unknown source': ({'gau': GAU, 'query': {'source': 'neck', **GCN}}, "got .*'neck'"),
    'source without channels': ({'gau': GAU, 'query': {'source': 0, **GCN}}, 'in_channels'),
    'too small a map': ({'gau': GAU, 'query': {**MAP_QUERY, 'downscale': 4}}, '4 times smaller'),
    'channels of the head': (
        {'gau': GAU, 'query': {'source': 'head', 'in_channels': 3, **GCN}},
        'takes neither',
    ),
    'skeleton of other joints': (
        {'gcn_before': GCN, 'skeleton': 'coco'},
        "'coco' has 17 joints, the head has 5",
    ),
    'unknown skeleton': ({'gcn_before': GCN, 'skeleton': 'hand'}, "one of .*'coco'.*'hand'"),
    'edge to nowhere': ({'gcn_before': GCN, 'skeleton': [(0, 5)]}, r'from 0 to 4, got \(0, 5\)'),
}


@pytest.mark.parametrize(('options', 'message'), BAD.values(), ids=BAD)
def test_bad_options_are_named_when_the_head_is_built(options, message):
    with pytest.raises(UserError, match=message):
        make(**options)


def test_adjacency_without_self_loops_is_named():
    graph = skeleton_graph(EDGES, K)
    graph.fill_diagonal_(False)
    with pytest.raises(UserError, match=r'self loops.*zeros at joints \[0, 1, 2, 3, 4\]'):
        build_gcn('gcn_before', GCN, 3, 4, graph)


def test_bad_input_is_named():
    head = make(gau=GAU, query=MAP_QUERY)
    early, last = features()
    with pytest.raises(UserError, match=r'expected .* \(6, 8, 6\), got \(6, 6, 8\)'):
        head((early, last.transpose(2, 3)))
    with pytest.raises(UserError, match=r'query: expected .* \(3, 4, 3\), got \(6, 8, 6\)'):
        head((last, last))
    with pytest.raises(UserError, match='taps of the backbone'):
        head((last,))
    with pytest.raises(UserError, match='keypoint_x_labels has 4 joints, out_channels is 5'):
        head.loss(features(), samples(joints=4))
    data = samples()
    data[0].set_metainfo({'flip_indices': [0, 1, 2]})
    with pytest.raises(UserError, match='flip_indices of the metainfo has 3 joints'):
        head.predict([features(), features()], data, {'flip_test': True})
    with pytest.raises(TypeError):
        make(deconv_out_channels=(256,))
