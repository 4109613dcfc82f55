"""The head: MMPose's checkpoints, outputs, predictions and losses; the split layouts."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.codecs import RegressionLabel
from mmpose.models.heads import RLEHead as StockRLEHead
from model_case import (
    assert_finite,
    assert_learns,
    assert_no_joint_no_loss,
    assert_works_in_half,
    labelled,
    randomised,
    share_weights,
)
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.heads import RLEHead
from rlepose_ext.models.heads.rle_head import add_sigma, join_fc, split_fc

C, K, SIZE = 24, 5, (192, 256)
CODEC = {'type': 'RegressionLabel', 'input_size': SIZE}
FLIP = [0, 2, 1, 4, 3]


def make(**kwargs) -> RLEHead:
    return randomised(RLEHead(C, K, decoder=CODEC, **kwargs))


def make_stock(**kwargs) -> StockRLEHead:
    loss = {'type': 'RLELoss', 'use_target_weight': True}
    return StockRLEHead(C, K, loss=loss, decoder=CODEC, **kwargs)


def samples(n: int = 6):
    """Labelled as MMPose's own codec labels them, some joints out of the crop or unseen."""
    rng = np.random.default_rng(0)
    visible = rng.random((n, 1, K)) > 0.2
    return labelled(RegressionLabel(SIZE), rng.uniform(-30, 250, (n, 1, K, 2)), visible, FLIP)


def features(n: int = 6) -> tuple[torch.Tensor]:
    return (torch.rand(n, C, 1, 1),)


@pytest.mark.parametrize('split', [False, True])
@pytest.mark.parametrize(('channels', 'total'), [(1280, 87_108), (2048, 139_332)])
def test_parameter_counts(channels, total, split):
    head = RLEHead(channels, 17, split=split)
    own = {k: p for k, p in head.named_parameters() if not k.startswith('loss_module.')}
    assert sum(p.numel() for p in own.values()) == total
    assert sum(p.numel() for p in head.loss_module.parameters()) == 53_784


def test_stock_checkpoints_both_ways():
    ours, stock = make(), make_stock()
    share_weights(ours, stock)
    feats = features()
    assert torch.equal(ours(feats), stock(feats))


def test_same_losses_as_stock():
    ours, stock = make(), make_stock()
    stock.load_state_dict(ours.state_dict())
    feats, data = features(), samples()
    # Some predictions near enough to their labels to count as right.
    labels = torch.cat([s.gt_instance_labels.keypoint_labels for s in data])
    for head in (ours, stock):
        forward = head.forward
        offset = (labels - forward(feats)[..., :2]).detach() + 0.03 * torch.randn(
            labels.shape, generator=torch.Generator().manual_seed(1)
        )
        head.forward = lambda x, f=forward, o=offset: f(x) + torch.cat([o, o * 0], -1)
    a, b = ours.loss(feats, data), stock.loss(feats, data)
    assert list(a) == list(b) == ['loss_kpt', 'acc_pose']
    torch.testing.assert_close(a['loss_kpt'], b['loss_kpt'], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(a['acc_pose'], b['acc_pose'].float())
    assert 0 < a['acc_pose'] < 1
    a['loss_kpt'].backward()
    b['loss_kpt'].backward()
    torch.testing.assert_close(ours.fc.weight.grad, stock.fc.weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('test_cfg', [
    {},
    {'flip_test': True},
    {'flip_test': True, 'shift_coords': True},
    {'flip_test': True, 'shift_coords': False},
])  # fmt: skip
def test_same_predictions_as_stock(test_cfg):
    ours, stock = make(), make_stock()
    stock.load_state_dict(ours.state_dict())
    feats = [features(), features()] if test_cfg.get('flip_test') else features()
    with torch.no_grad():
        for a, b in zip(
            ours.predict(feats, samples(), test_cfg),
            stock.predict(feats, samples(), test_cfg),
            strict=True,
        ):
            np.testing.assert_array_equal(a.keypoints, b.keypoints)
            np.testing.assert_array_equal(a.keypoint_scores, b.keypoint_scores)


def test_prediction_worked_out_by_hand():
    head = make()
    nn.init.zeros_(head.fc.weight)
    head.fc.bias.data = torch.tensor([0.25, 0.5, 0.0, float(np.log(3))]).repeat(K)
    (pose,) = head.predict(features(1), samples(1), {})
    np.testing.assert_allclose(pose.keypoints, np.full((1, K, 2), [48.0, 128.0]), rtol=1e-6)
    np.testing.assert_allclose(pose.keypoint_scores, np.full((1, K), 1 - (0.5 + 0.75) / 2))


def test_split_equals_stock_after_interleaving():
    stock = randomised(StockRLEHead(1280, 17, decoder=CODEC), std=1)
    head = RLEHead(1280, 17, split=True)
    state = stock.state_dict()
    for kind in ('weight', 'bias'):
        joint = state.pop(f'fc.{kind}')
        coord, sigma = split_fc(joint)
        assert torch.equal(join_fc(coord, sigma), joint)
        state[f'fc_coord.{kind}'], state[f'fc_sigma.{kind}'] = coord, sigma
    head.load_state_dict(state, strict=True)
    x = torch.rand(16, 1280)
    torch.testing.assert_close(head((x,)), stock((x,)), rtol=1e-5, atol=1e-4)
    assert join_fc(torch.arange(4), 10 + torch.arange(4)).tolist() == [0, 1, 10, 11, 2, 3, 12, 13]


@pytest.mark.parametrize('layout', [{'split': True}, {'norm_linear': True}])
def test_split_layers_are_two_linears_of_the_exported_graph(layout):
    """A quantiser of graphs can give them ranges of their own."""
    program = torch.export.export(make(**layout).eval(), (features(),))
    linears = [node for node in program.graph.nodes if 'linear' in str(node.target)]
    layers = [node.meta['nn_module_stack'] for node in linears]
    names = [list(stack.values())[-1][0].rpartition('.')[2] for stack in layers]
    assert names == ['fc_coord', 'fc_sigma']


def test_norm_linear_is_the_quoted_formula():
    head = make(norm_linear=True)
    x = torch.randn(3, C)
    out = head((x,))
    expected = x @ head.fc_coord.weight.T / x.norm(dim=1, keepdim=True) + head.fc_coord.bias
    torch.testing.assert_close(out[..., :2], expected.reshape(3, K, 2))
    torch.testing.assert_close(out[..., 2:], head.fc_sigma(x).reshape(3, K, 2))
    torch.testing.assert_close(head((100 * x,))[..., :2], out[..., :2])
    assert head((torch.zeros(1, C),)).isfinite().all()


def test_norm_linear_starts_at_the_middle_of_the_crop():
    head = RLEHead(C, K, norm_linear=True)
    head.init_weights()
    assert (head.fc_coord.bias == 0.5).all()
    assert not head.fc_sigma.bias.any()
    assert (head(features())[..., :2] - 0.5).abs().max() < 0.1


@pytest.mark.parametrize('layout', [{}, {'split': True}, {'norm_linear': True}])
def test_init_leaves_the_flow_alone(layout):
    head = RLEHead(400, 17, **layout)
    flow = {k: v.clone() for k, v in head.loss_module.state_dict().items()}
    head.init_weights()
    for key, value in head.loss_module.state_dict().items():
        assert torch.equal(value, flow[key]), key
    for name in ('fc_coord', 'fc_sigma') if layout else ('fc',):
        weight = getattr(head, name).weight
        assert weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_old_prefix_loads_inside_a_model():
    model = nn.ModuleDict({'lossy': nn.Linear(2, 2), 'head': make()})
    state = {k.replace('loss_module.', 'loss.'): v for k, v in model.state_dict().items()}
    state['loss.extra'] = torch.zeros(1)
    result = nn.ModuleDict({'lossy': nn.Linear(2, 2), 'head': make()}).load_state_dict(
        state, strict=False
    )
    assert not result.missing_keys
    assert result.unexpected_keys == ['loss.extra']


@pytest.mark.parametrize('layout', [{}, {'split': True}, {'norm_linear': True}])
def test_every_parameter_gets_a_gradient(layout):
    head = make(**layout)
    assert_learns(head, head.loss(features(16), samples(16))['loss_kpt'])


def test_labels_out_of_range_do_not_reach_the_weights():
    head = make()
    data = samples()
    data[0].gt_instance_labels.keypoint_labels[0, 0] = float('nan')
    data[1].gt_instance_labels.keypoint_labels[0, 1] = 1e9
    assert_finite(head, head.loss(features(), data))
    assert head.loss_module.num_out_of_range[0] == 2


def test_labels_out_of_range_do_not_count_as_wrong(monkeypatch):
    head = make()
    data = samples(1)
    instance = data[0].gt_instance_labels
    instance.keypoint_weights.fill_(1)
    outputs = torch.cat([instance.keypoint_labels, torch.zeros(1, K, 2)], -1)
    monkeypatch.setattr(head, 'forward', lambda feats: outputs)
    instance.keypoint_labels = instance.keypoint_labels.clone()
    instance.keypoint_labels[0, 0] = 1e9
    assert head.loss(features(1), data)['acc_pose'].item() == 1


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_types_under_autocast(dtype):
    assert_works_in_half(make(), dtype, features(), samples())


def test_batch_without_visible_joints():
    assert_no_joint_no_loss(make(), features(), samples())


def test_bad_input_is_named():
    with pytest.raises(UserError, match='GlobalAveragePooling'):
        make()((torch.rand(2, C, 3, 3),))
    for channels, joints in ((C, 0), ([4, 1.5], K)):
        with pytest.raises(UserError, match='to be a whole number of at least 1'):
            RLEHead(channels, joints)


def test_sigma_in_input_px():
    pose = InstanceData(keypoints=np.zeros((1, 2, 2)))
    add_sigma([pose], torch.tensor([[[0.5, 0.5], [0.25, 0.125]]]), SIZE)
    np.testing.assert_allclose(pose.sigma, [[[96, 128], [48, 32]]])
