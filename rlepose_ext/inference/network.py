"""Make a pose model as fast as it is right, and run it on crops.

Four changes that leave the function what it is: batch norm is folded into the convolution
before it, weights are stored channels-last, oneDNN computes 1x1 convolutions, and the crop and its
mirror image of the flip test go through the network as one batch. The first two are tried on a
copy, compared with the model as it was, and taken only if the outputs agree; a backbone with an
unusual order of layers keeps its own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmpose.structures import PoseDataSample
from mmpose.utils.tensor_utils import to_numpy
from torch import Tensor, nn

from rlepose_ext.engine.cpu_speed import is_slower_in_nhwc
from rlepose_ext.models.heads.simcc_bins import BinReading

# Outputs of the changed model may differ by this share of what two inputs differ by.
TOLERANCE = 1e-3


def optimise(model: nn.Module, shape: Sequence[int]) -> tuple[nn.Module, list[str]]:
    """Fold batch norm and store weights channels-last, where the outputs stay the same.

    Args:
        model: a pose estimator in eval mode.
        shape: height, width and channels of its input.

    Returns:
        The model to use, and what was done: some of ``'fused'``, ``'channels_last'``.
    """
    height, width, channels = shape
    parameter = next(model.parameters())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, height, width, generator=generator).to(parameter)
    expected = _outputs(model, x)
    changes = {'fused': fuse_conv_bn, 'channels_last': _channels_last}
    # Both at once nearly always agree, and then nothing else is tried.
    for names in (('fused', 'channels_last'), ('fused',), ('channels_last',)):
        changed = copy.deepcopy(model)
        try:
            for name in names:
                changed = changes[name](changed)
            found = _outputs(changed, x)
        except RuntimeError:
            # A batch norm that does not belong to the convolution listed before it, or `view` of a
            # map that is stored channels-last.
            continue
        if _agree(found, expected):
            changed.cfg, changed.dataset_meta = model.cfg, model.dataset_meta
            return changed, list(names)
    return model, []


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution that oneDNN computes.

    With one thread and a batch below 16 torch takes a matrix product of MKL instead. On an EPYC
    with AVX-512, which MKL leaves idle on AMD's processors, that takes twice the time; with AVX2
    about the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """See ``nn.Conv2d``."""
        plain = x.device.type == 'cpu' and x.dtype == self.weight.dtype == torch.float32
        if not plain or torch.is_autocast_enabled('cpu') or torch.compiler.is_compiling():
            return super().forward(x)
        geometry = self.padding, self.stride, self.dilation, self.groups
        return torch.mkldnn_convolution(x, self.weight, self.bias, *geometry)


def pointwise_by_onednn(model: nn.Module) -> None:
    """Let oneDNN compute the 1x1 convolutions of a model on the CPU, in place."""
    if not torch.backends.mkldnn.is_available():
        return
    for part in model.modules():
        if type(part) is nn.Conv2d and part.kernel_size == (1, 1) and part.padding == (0, 0):
            part.__class__ = _Pointwise


def _channels_last(model: nn.Module) -> nn.Module:
    if is_slower_in_nhwc(model.backbone):
        return model
    return model.to(memory_format=torch.channels_last)


def _agree(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(
        bool(torch.isfinite(a).all())
        and (a - b).abs().max() <= TOLERANCE * (b[0] - b[1]).abs().max()
        for a, b in zip(found, expected, strict=True)
    )


@torch.inference_mode()
def _outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    return list(_tensors(model.head.forward(model.extract_feat(x))))


def _tensors(nest: Any) -> Iterable[Tensor]:
    if isinstance(nest, Tensor):
        yield nest
    else:
        for part in nest:
            yield from _tensors(part)


def with_mirrored(crops: np.ndarray) -> np.ndarray:
    """The crops, then their mirror images, for the flip test.

    Args:
        crops: (N, h, w, C) uint8.

    Returns:
        (2N, h, w, C) uint8.
    """
    both = np.concatenate([crops, np.empty_like(crops)])
    for crop, mirrored in zip(crops, both[len(crops) :], strict=True):
        cv2.flip(crop, 1, dst=mirrored)
    return both


def normalise_crops(crops: np.ndarray, preprocessor: nn.Module, device: torch.device) -> Tensor:
    """What MMPose's ``PoseDataPreprocessor`` makes of crops, for a whole batch at once.

    Args:
        crops: (N, h, w, C) uint8, BGR.
        preprocessor: of the model: its mean, std and order of channels.
        device: where the batch goes.

    Returns:
        (N, C, h, w) float32, stored channels-last.
    """
    _, height, width, channels = crops.shape
    if preprocessor._channel_conversion:
        crops = cv2.cvtColor(crops.reshape(-1, width, channels), cv2.COLOR_BGR2RGB)
    # Whole rows against a row of means: over three channels at a time it takes four times as long.
    rows = torch.from_numpy(crops).to(device).view(-1, height, width * channels)
    if preprocessor._enable_normalize:
        # those of YOLOX-Pose are integers
        mean, std = (
            v.flatten().float().repeat(width) for v in (preprocessor.mean, preprocessor.std)
        )
        rows = torch.sub(rows, mean).div_(std)
    return rows.float().view(-1, height, width, channels).permute(0, 3, 1, 2)


def give_float32(head: nn.Module) -> None:
    """Make a head's outputs float32 under autocast: numpy, which decodes, has no bfloat16."""
    forward = head.forward

    def float_forward(*args: Any, **kwargs: Any) -> Any:
        return _as_float(forward(*args, **kwargs))

    head.forward = float_forward


def read_bins(head: nn.Module, reading: BinReading) -> None:
    """Make a SimCC head's poses have the scores and the sigma of a reading."""
    decode = head.decode

    def decode_and_read(outputs: Any) -> list:
        poses = decode(outputs)
        if not isinstance(outputs, tuple) or len(outputs) != 2:
            return poses  # of SimCC + RLE: coordinates, or bins with scores by sigma
        for name, values in reading(*outputs).items():
            for pose, value in zip(poses, to_numpy(values), strict=True):
                pose.set_field(value[None], name)
        return poses

    head.decode = decode_and_read


def predict(model: nn.Module, x: Tensor, meta: dict[str, Any], flip_test: bool) -> list:
    """Poses of normalised crops, in input px.

    Args:
        model: a top-down pose estimator.
        x: (N, C, h, w), normalised; for a flip test (2N, C, h, w), see :func:`with_mirrored`.
        meta: ``flip_indices`` of the joints, ``input_size``.
        flip_test: average with the prediction of the mirrored crop.

    Returns:
        N ``InstanceData`` of the head.
    """
    if flip_test:
        both, crops = model.extract_feat(x), len(x) // 2
        feats = [_part(both, slice(crops)), _part(both, slice(crops, None))]
    else:
        feats, crops = model.extract_feat(x), len(x)
    samples = [PoseDataSample(metainfo=meta)] * crops
    poses = model.head.predict(feats, samples, test_cfg={**model.test_cfg, 'flip_test': flip_test})
    # With output_heatmaps, a head gives its maps beside.
    return poses[0] if isinstance(poses, tuple) else poses


def _as_float(nest: Any) -> Any:
    if isinstance(nest, Tensor):
        return nest.float()
    return type(nest)(_as_float(part) for part in nest)


def _part(feats: Any, part: slice) -> Any:
    """The same nest of feature maps for some samples of the batch."""
    if isinstance(feats, Tensor):
        return feats[part]
    return tuple(_part(feat, part) for feat in feats)
