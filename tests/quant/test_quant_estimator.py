"""What each stage trains and what it leaves, from a float checkpoint to integers."""

import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from quant_models import QUANT, build

from rlepose_ext.quant import layers
from rlepose_ext.quant.integer import dyadic


def samples(number):
    found = []
    for index in range(number):
        generator = torch.Generator().manual_seed(index)
        labels = torch.rand(1, 17, 2, generator=generator)
        instances = InstanceData(keypoint_labels=labels, keypoint_weights=torch.ones(1, 17))
        found.append(PoseDataSample(gt_instance_labels=instances))
    return found


def trained(model, batch, steps, rate):
    """Losses of ``steps`` steps of Adam on one batch."""
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    losses = []
    for _ in range(steps):
        found = model.loss(batch, samples(len(batch)))
        loss = sum(value for name, value in found.items() if name.startswith('loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def ranges(model):
    state = model.state_dict()
    return {k: v.clone() for k, v in state.items() if k.endswith(('scale', 'zero_point'))}


def with_stage(root, stage, batches=2):
    return build(root, QUANT.format('qat'), quant={'stage': stage, 'batches': batches})


def moved(before, after):
    return [name for name in before if not torch.equal(before[name], after[name])]


def test_ptq_sets_ranges_and_trains_nothing(root, batch):
    model = with_stage(root, 'ptq')
    assert trained(model, batch, 2, 0.01) == [0, 0]
    assert layers.is_calibrated(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert trained(model, batch, 2, 0.01) == [0, 0]
    assert moved(before, model.state_dict()) == []
    # weights are what they are rounded to
    for step in layers.steps(model):
        if step.kind == 'layer' and 'conv' in step.name:
            weight, _ = step.module.folded()
            steps = weight.flatten(1) / step.module.weight_scale[:, None]
            assert (steps - steps.round()).abs().max() < 0.01


@pytest.mark.slow
def test_lsq_learns_ranges(root, batch):
    model = with_stage(root, 'lsq')
    trained(model, batch, 2, 0.0)
    before = ranges(model)
    assert all(value.isfinite().all() for value in before.values())
    losses = trained(model, batch, 12, 1e-3)
    assert losses[-1] < losses[0] - 0.1
    assert len(moved(before, ranges(model))) > 0.9 * len(before)


@pytest.mark.slow
def test_qat_trains_weights_with_scales_fixed(root, batch):
    start = with_stage(root, 'lsq')
    trained(start, batch, 4, 1e-3)
    model = with_stage(root, 'qat')
    model.load_state_dict(start.state_dict(), strict=False)
    losses = trained(model, batch, 1, 0.0)
    before = ranges(model)
    weights = model.backbone.conv2.conv.weight.clone()
    losses += trained(model, batch, 12, 1e-3)
    assert losses[-1] < losses[1] - 0.1
    assert moved(before, ranges(model)) == []
    assert not torch.equal(weights, model.backbone.conv2.conv.weight)
    for step in layers.steps(model):
        assert step.output.zero_point == step.output.zero_point.round()
        if step.kind == 'layer':
            ratio = step.module.weight_scale.double() * float(step.sources[0].scale)
            ratio = (ratio / float(step.output.scale)).numpy()
            n, m = dyadic(ratio)
            assert ratio == pytest.approx(n / 2.0**m, rel=1e-6)


@pytest.mark.slow
def test_a_finished_model_loads_for_inference(root, batch, tmp_path):
    start = with_stage(root, 'qat')
    trained(start, batch, 4, 1e-3)
    model = with_stage(root, 'qat')
    model.load_state_dict(start.state_dict())
    x = start.eval().extract_feat(batch)
    assert torch.equal(model.eval().extract_feat(batch)[0], x[0])
