"""What tests of heads and blocks share: labelled samples, and what each of them must do."""

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.structures import PoseDataSample
from torch import nn

MAPS = ('heatmaps', 'displacements')


def labelled(codec, keypoints, visible=None, flip_indices=None) -> list[PoseDataSample]:
    """Samples of persons (N, 1, K, 2), labelled by their codec as MMPose packs it."""
    samples = []
    size = getattr(codec, 'input_size', None) or codec.heatmap_codec.input_size
    for number, person in enumerate(keypoints):
        weights = np.ones((1, len(person[0])), np.float32) if visible is None else visible[number]
        encoded = codec.encode(np.float32(person), np.float32(weights))
        encoded = {name: torch.from_numpy(np.asarray(v)) for name, v in encoded.items()}
        maps = {name: encoded.pop(name) for name in MAPS if name in encoded}
        sample = PoseDataSample(metainfo={'flip_indices': flip_indices, 'input_size': size})
        sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
        sample.gt_instance_labels = InstanceData(**encoded)
        sample.gt_fields = PixelData(**maps)
        samples.append(sample)
    return samples


def set_weights(samples, value) -> None:
    """Label all joints of the samples, or none."""
    for sample in samples:
        for name in ('keypoint_weights', 'coord_weights'):
            if name in sample.gt_instance_labels:
                sample.gt_instance_labels[name].fill_(value)


def randomised(module: nn.Module, std: float = 0.15) -> nn.Module:
    for parameter in module.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=std)
    return module


def total(losses) -> torch.Tensor:
    return sum(value for name, value in losses.items() if name.startswith('loss'))


def assert_learns(module: nn.Module, loss: torch.Tensor) -> None:
    """Every parameter gets a gradient that is finite and not zero."""
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def assert_finite(module: nn.Module, losses) -> None:
    """Losses and all gradients are numbers."""
    assert all(value.isfinite() for value in losses.values())
    total(losses).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def assert_no_joint_no_loss(head: nn.Module, feats, samples) -> None:
    """A batch without labelled joints costs nothing, and stays connected to every parameter."""
    set_weights(samples, 0)
    losses = head.loss(feats, samples)
    assert all(abs(value.item()) < 1e-10 for value in losses.values())
    total(losses).backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def assert_works_in_half(head: nn.Module, dtype, feats, samples, *test_cfgs) -> None:
    """Under autocast losses are float32, and losses, gradients and poses are finite."""
    with torch.autocast('cpu', dtype):
        losses = head.loss(feats, samples)
        for test_cfg in test_cfgs or ({},):
            views = [feats, feats] if test_cfg.get('flip_test') else feats
            with torch.no_grad():
                (pose, *_) = head.predict(views, samples, test_cfg)
            assert np.isfinite(pose.keypoints).all()
            assert np.isfinite(pose.keypoint_scores).all()
    assert {v.dtype for name, v in losses.items() if name.startswith('loss')} == {torch.float32}
    assert_finite(head, losses)


def share_weights(ours: nn.Module, stock: nn.Module, std: float = 0.15) -> None:
    """MMPose's module takes the state dict of ours, and ours takes it back."""
    assert list(ours.state_dict()) == list(stock.state_dict())
    stock.load_state_dict(ours.state_dict(), strict=True)
    randomised(stock, std)
    ours.load_state_dict(stock.state_dict(), strict=True)
    for key, value in stock.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
