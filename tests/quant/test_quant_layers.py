"""Where a model is rounded, that it is the float model otherwise, and what it refuses."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from quant_models import QUANT, build

from rlepose_ext.errors import UserError
from rlepose_ext.inference.network import optimise
from rlepose_ext.quant import layers
from rlepose_ext.quant.calibrate import calibrate, equalise, round_columns

SIMCC = 'configs/quant/simcc-qat_mobilenetv2-075_1xb128-100e_aic-coco-192x192.py'
HYBRID = 'configs/simcc_rle/simcc-rle_mobilenetv2-075_1xb64-210e_coco-192x192.py'
WITH_QUANT = {'type': 'rlepose_ext.QuantPoseEstimator', 'quant': {'stage': 'lsq'}}


def outputs(model, x):
    with torch.no_grad():
        found = model.head.forward(model.extract_feat(x))
    return found if isinstance(found, tuple) else (found,)


# The hybrid has two more than SimCC: its pooled feature and the layer of sigma.
@pytest.mark.parametrize(('path', 'number'), [
    (QUANT.format('lsq'), 65),
    (QUANT.format('lsq').replace('050', '075'), 65),
    (SIMCC, 65),
    (HYBRID, 67),
])  # fmt: skip
def test_the_points(root, path, number):
    model = build(root, path, **(WITH_QUANT if path == HYBRID else {}))
    steps = list(layers.steps(model))
    assert len(steps) == number
    assert len({step.name for step in steps}) == number
    assert sum(step.kind == 'add' for step in steps) == 10
    # and the input of the first convolution
    assert len(layers.points(model)) == number + 1
    seen = {model.backbone.conv1.input}
    for step in steps:
        assert set(step.sources) <= seen
        seen.add(step.output)


@pytest.mark.parametrize('path', [QUANT.format('lsq'), SIMCC, HYBRID])
def test_a_float_checkpoint_gives_the_float_model(root, path):
    """With rounding off; a joint layer of coordinates and sigma is split while loading."""
    quantised = build(root, path, **(WITH_QUANT if path == HYBRID else {}))
    init_default_scope('mmpose')
    config = Config.fromfile(root / path).model
    config.type = 'TopdownPoseEstimator'
    config.pop('quant', None)
    config.backbone.init_cfg = None
    config.head.pop('split', None)
    torch.manual_seed(5)
    plain = MODELS.build(config).eval()
    found = quantised.load_state_dict(plain.state_dict(), strict=False)
    assert not found.unexpected_keys
    own = ('scale', 'zero_point')
    assert all(key.endswith(own) for key in found.missing_keys)
    layers.set_mode(quantised, 'float')
    x = torch.rand(2, 3, 192, 192) * 2 - 1
    for ours, theirs in zip(outputs(quantised, x), outputs(plain, x), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_rounding_moves_little_and_something(calibrated, batch):
    rounded = outputs(calibrated, batch)[0]
    layers.set_mode(calibrated, 'float')
    exact = outputs(calibrated, batch)[0]
    apart = (rounded - exact).abs().mean() / exact.abs().mean()
    assert 1e-4 < apart < 0.1


def test_equal_channels_are_the_same_function(root, batch):
    model = build(root, QUANT.format('qat'))
    layers.set_mode(model, 'float')
    before = model.backbone.layer3[0].conv[-1].bn.weight.clone()
    exact = outputs(model, batch)
    equalise(model)
    assert not torch.equal(model.backbone.layer3[0].conv[-1].bn.weight, before)
    for ours, theirs in zip(outputs(model, batch), exact, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_columns_make_up_for_each_other():
    """With inputs that go together the sums of a layer stay nearer than with plain rounding."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, 6, generator=generator) @ torch.randn(6, 500, generator=generator)
    x = (x + 0.1 * torch.randn(24, 500, generator=generator)).double()
    weight = torch.randn(1, 8, 24, generator=generator).double()
    scale = torch.full((1, 8), 0.2).double()
    rounded = round_columns(weight, scale, (x @ x.T / 500)[None])[0]
    plain = (weight[0] / 0.2).round() * 0.2
    torch.testing.assert_close(rounded / 0.2, (rounded / 0.2).round())
    assert (rounded @ x - weight[0] @ x).std() < 0.5 * (plain @ x - weight[0] @ x).std()


def test_biases_keep_the_means(root, batch):
    """The last layers' means over the batch are the float model's, up to their own rounding."""
    model = build(root, QUANT.format('lsq'))
    layers.set_mode(model, 'float')
    exact = outputs(model, batch)[0].mean(0)
    calibrate(model, [batch])
    steps = [model.head.fc_coord.output.scale, model.head.fc_sigma.output.scale]
    apart = (outputs(model, batch)[0].mean(0) - exact).abs()
    assert (apart < max(map(float, steps))).all()


def test_running_statistics_and_outputs_are_the_same_in_training(calibrated, batch):
    before = {k: v.clone() for k, v in calibrated.state_dict().items() if 'running' in k}
    expected = outputs(calibrated, batch)[0]
    calibrated.train()
    assert torch.equal(outputs(calibrated, batch)[0], expected)
    after = calibrated.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_batch_norm_can_be_folded_for_speed(calibrated, batch):
    calibrated.cfg, calibrated.dataset_meta = None, None
    expected = outputs(calibrated, batch)[0]
    changed, _ = optimise(calibrated, (96, 96, 3))
    # folded weights may round to the next number
    apart = (outputs(changed, batch)[0] - expected).abs().mean()
    assert apart < 0.02 * expected.abs().mean()


def test_without_ranges_nothing_is_rounded(root, batch):
    model = build(root, QUANT.format('qat'))
    with pytest.raises(UserError, match='no ranges'):
        model.extract_feat(batch)
    with pytest.raises(UserError, match='no crops'):
        calibrate(model, [])


@pytest.mark.parametrize(('change', 'said'), [
    ({'head': {'split': False}}, r'split=True'),
    ({'backbone': {'type': 'ShuffleNetV2', 'out_indices': (3,)}}, 'ShuffleNetV2'),
    ({'backbone': {'act_cfg': {'type': 'ReLU'}}}, 'ReLU6'),
    ({'quant': {'stage': 'int4'}}, "'int4', expected one of ptq"),
    ({'quant': {'stage': 'qat', 'bits': 4}}, 'bits'),
    ({'quant': {'stage': 'qat', 'batches': 0}}, 'batches'),
    ({'neck': None}, 'GlobalAveragePooling'),
])  # fmt: skip
def test_other_models_are_refused(root, change, said):
    config = Config.fromfile(root / QUANT.format('qat')).model
    for key, value in change.items():
        if isinstance(value, dict) and 'type' not in value and key != 'quant':
            config[key].update(value)
        else:
            config[key] = value
    init_default_scope('mmpose')
    with pytest.raises(UserError, match=said):
        MODELS.build(config)
