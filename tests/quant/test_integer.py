"""Integers: by hand, against the fake-quantised model, and their files."""

import json

import numpy as np
import pytest
import torch
from quant_models import QUANT, build

from rlepose_ext.errors import UserError
from rlepose_ext.quant import layers
from rlepose_ext.quant.calibrate import calibrate
from rlepose_ext.quant.integer import IntegerModel, Layer, dyadic, load, save, shifted
from rlepose_ext.quant.to_integer import integer_model, snap

pytestmark = pytest.mark.slow

SIMCC = 'configs/quant/simcc-qat_mobilenetv2-075_1xb128-100e_aic-coco-192x192.py'


def test_ratios_by_hand():
    n, m = dyadic(np.array([0.5, 0.75, 1.0, 1 / 3, 0.0039, 0.99999, 3.0]))
    assert n[:3].tolist() == [1, 3, 1]
    assert m[:3].tolist() == [1, 2, 0]
    rng = np.random.default_rng(0)
    ratios = np.exp(rng.uniform(-18, 3, 5000))
    n, m = dyadic(ratios)
    assert n.min() >= 1
    assert n.max() <= 255
    assert m.min() >= 0
    assert (np.abs(n / np.exp2(m) / ratios - 1) <= 1 / 255).all()
    assert ((n % 2 == 1) | (m == 0)).all()


def test_halves_go_up():
    x, m = np.array([5, -5, 6, -6, 7, -7, 9]), np.full(7, 2)
    assert shifted(x, m).tolist() == [1, -1, 2, -1, 2, -2, 2]
    assert shifted(np.array([3]), np.array([0])).tolist() == [3]


def test_a_convolution_by_hand():
    """A border of zero point, the shift, the bias after it, and the clamp."""
    weight = np.zeros((1, 1, 3, 3), np.int8)
    weight[0, 0, 1, 1], weight[0, 0, 0, 0] = 2, 1
    one = np.array([3]), np.array([1]), np.array([4])
    layer = Layer('a', 'layer', ['input'], *one, (-100, 50), 0.5, 0, weight, 1, 1)
    model = IntegerModel([layer], 1.0, 7, ['a'])
    x = np.array([[[[1.0, 2.0], [3.0, 30.0]]]], np.float32)
    # q = x + 7; at the upper left the border adds 7: 3 (2 * 8 + 7) / 2 + 4 = 38.5, up to 39
    values = model.run(x)['a']
    assert values[0, 0].tolist() == [[39, 42], [45, 50]]
    assert model(x)[0][0, 0].tolist() == [[19.5, 21.0], [22.5, 25.0]]


@pytest.mark.parametrize('path', [QUANT.format('qat'), pytest.param(SIMCC, marks=pytest.mark.slow)])
def test_each_layer_is_that_of_the_float_simulation(root, batch, path):
    """From the same integers, within one step (a sum rounds twice: two), mostly equal."""
    model = build(root, path)
    x = torch.nn.functional.interpolate(batch, 192) if path == SIMCC else batch
    calibrate(model, [x])
    snap(model)
    seen = {}
    handles = [
        point.register_forward_hook(lambda p, _, y: seen.update({p: y}))
        for point in layers.points(model).values()
    ]
    with torch.no_grad():
        model.head.forward(model.extract_feat(x))
    tables = integer_model(model, x.shape[:-3:-1])
    by_name = {layer.name: layer for layer in tables.layers}
    assert len(by_name) == 65

    def integers(point):
        return (seen[point] / point.scale + point.zero_point).round().numpy().astype(np.int64)

    from rlepose_ext.quant.integer import _run

    zeros = {'input': tables.zero_point} | {n: v.zero_point for n, v in by_name.items()}
    for step in layers.steps(model):
        layer = by_name[step.name]
        inputs = []
        for point in step.sources:
            q = integers(point)
            inputs.append(q.clip(*_limits(point)))
        ours = _run(layer, inputs, zeros)
        theirs = integers(step.output).clip(*_limits(step.output)).reshape(ours.shape)
        apart = np.abs(ours - theirs)
        assert apart.max() <= (2 if step.kind == 'add' else 1), step.name
        assert (apart == 0).mean() > (0.3 if step.kind == 'add' else 0.5), step.name
    del handles


def _limits(point):
    zero = int(point.zero_point)
    return (zero, min(zero + round(6 / float(point.scale)), 127)) if point.relu6 else (-128, 127)


def test_the_whole_network(calibrated, batch):
    tables = integer_model(calibrated, (96, 96))
    coords, sigma = (torch.from_numpy(each) for each in tables(batch.numpy()))
    with torch.no_grad():
        expected = calibrated.head.forward(calibrated.extract_feat(batch))
    found = torch.stack([coords.unflatten(1, (-1, 2)), sigma.unflatten(1, (-1, 2))], 2).flatten(2)
    assert (found - expected).abs().mean() < 0.1 * expected.abs().mean()


def test_snapped_scales_stay(calibrated):
    snap(calibrated)
    before = {k: v.clone() for k, v in calibrated.state_dict().items() if 'weight_scale' in k}
    assert len(before) == 54
    snap(calibrated)
    after = calibrated.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_files(calibrated, batch, tmp_path):
    tables = integer_model(calibrated, (96, 96))
    tables.content = {'name': 'a'}
    save(tables, tmp_path / 'a.npz', tmp_path / 'a.json')
    again = load(tmp_path / 'a.npz')
    assert again.content == {'name': 'a'}
    for ours, theirs in zip(again(batch.numpy()), tables(batch.numpy()), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize('damage', ['cut', 'no json', 'json', 'format', 'layer', 'floats', 'other'])
def test_damaged_files_are_named(calibrated, tmp_path, damage):
    path, beside = tmp_path / 'a.npz', tmp_path / 'a.json'
    save(integer_model(calibrated, (96, 96)), path, beside)
    content = json.loads(beside.read_text())
    if damage == 'cut':
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == 'no json':
        beside.unlink()
    elif damage == 'json':
        beside.write_text('{')
    elif damage == 'format':
        beside.write_text(json.dumps({**content, 'integer_format': 9}))
    elif damage == 'layer':
        beside.write_text(json.dumps({**content, 'layers': [{'name': 'a'}]}))
    elif damage == 'floats':
        with np.load(path) as arrays:
            np.savez(path, **{k: v.astype(float) for k, v in arrays.items()})
    else:
        path.write_text('no arrays')
    with pytest.raises(UserError, match=r'a\.(npz|json)'):
        load(path)
