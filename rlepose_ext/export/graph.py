"""The network between pixels and points, as one module that can be exported."""

from __future__ import annotations

from typing import Any

import torch
from mmpose.models.heads import RLEHead as StockRLEHead
from mmpose.models.heads import RTMCCHead, SimCCHead
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.export.decode import decoder_of
from rlepose_ext.export.qdq import with_integers
from rlepose_ext.models.estimators import QuantPoseEstimator
from rlepose_ext.models.heads.rle_head import activate
from rlepose_ext.models.heads.simcc_bins import bin_reading

# What rtmlib's RTMPose does to BGR pixels unless told otherwise, before the network sees them.
RTMLIB_MEAN = (123.675, 116.28, 103.53)
RTMLIB_STD = (58.395, 57.12, 57.375)


class PoseGraph(nn.Module):
    """uint8 crops to keypoints: normalisation, network and decoding.

    Args:
        model: a top-down pose estimator in eval mode; with ``half``, or trained for 8 bit, it is
            converted in place.
        half: run the network in float16. Normalisation and decoding stay float32.

    Raises:
        UserError: a codec without a counterpart in :mod:`.decode`.
    """

    def __init__(self, model: nn.Module, half: bool = False) -> None:
        super().__init__()
        self.normalise = Normalise(model.data_preprocessor)
        calibrated = bool(getattr(model, 'calibration', None))
        reading = bin_reading(model.head, model.test_cfg, calibrated)
        self.decode = decoder_of(model.head.decoder, model.test_cfg, reading)
        if isinstance(model, QuantPoseEstimator):
            with_integers(model)
        self.model = model.half() if half else model
        self.dtype = torch.float16 if half else torch.float32

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Poses of crops.

        Args:
            crops: (N, h, w, C) uint8; C = 3 is BGR, C = 1 grey.

        Returns:
            Keypoints (N, K, 2), input px, scores (N, K), and, of heads that have it, sigma
            (N, K, 2), input px; float32.
        """
        x = self.normalise(crops.permute(0, 3, 1, 2).float()).to(self.dtype)
        outputs = _outputs(self.model, x)
        return self.decode(*(each.float() for each in outputs))


class SimCCGraph(nn.Module):
    """Crops as rtmlib normalises them to SimCC's bins, which rtmlib decodes.

    rtmlib subtracts and divides by its own constants, channel by channel of a BGR picture. The
    graph takes that back and normalises as the model was trained.

    Args:
        model: a top-down pose estimator with a SimCC head, in eval mode.
        half: run the network in float16.

    Raises:
        UserError: another kind of model.
    """

    def __init__(self, model: nn.Module, half: bool = False) -> None:
        super().__init__()
        codec = model.head.decoder
        split = getattr(codec, 'simcc_split_ratio', None)
        preprocessor = model.data_preprocessor
        if not isinstance(model.head, (SimCCHead, RTMCCHead)) or split != 2:
            raise UserError(
                'layout rtmlib: rtmlib reads SimCC models with 2 bins per pixel, got '
                f'{type(model.head).__name__}'
                + ('' if split is None else f' with {split:g}')
                + '. Leave --layout out: our own layout takes every model.'
            )
        if preprocessor._enable_normalize and preprocessor.mean.numel() != 3:
            raise UserError('layout rtmlib: rtmlib has no grey crops. Leave --layout out.')
        self.normalise = Normalise(preprocessor)
        for name, value in (('rtmlib_mean', RTMLIB_MEAN), ('rtmlib_std', RTMLIB_STD)):
            self.register_buffer(name, torch.tensor(value).view(-1, 1, 1), persistent=False)
        self.model = model.half() if half else model
        self.dtype = torch.float16 if half else torch.float32

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Bins of crops.

        Args:
            x: (N, 3, h, w) float32, BGR, less rtmlib's mean and divided by its deviation.

        Returns:
            Logits ``simcc_x`` (N, K, W s) and ``simcc_y`` (N, K, H s).
        """
        x = self.normalise(x * self.rtmlib_std + self.rtmlib_mean).to(self.dtype)
        simcc_x, simcc_y, *_ = _outputs(self.model, x)
        return simcc_x.float(), simcc_y.float()


class Normalise(nn.Module):
    """What MMPose's ``PoseDataPreprocessor`` does to pixels (N, C, h, w), float32, BGR."""

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        self.to_rgb = bool(preprocessor._channel_conversion)
        self.enabled = bool(preprocessor._enable_normalize)
        if self.enabled:
            for name in ('mean', 'std'):
                value = getattr(preprocessor, name).detach().float().clone()
                self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Change the order of channels, and subtract and divide."""
        if self.to_rgb:
            x = x[:, [2, 1, 0]]
        return (x - self.mean) / self.std if self.enabled else x


def _outputs(model: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """What the head's ``activate`` gives, or its ``forward`` where there is none."""
    head: Any = model.head
    outputs = head.forward(model.extract_feat(x))
    if hasattr(head, 'activate'):
        outputs = head.activate(outputs)
    elif isinstance(head, StockRLEHead):
        outputs = activate(outputs)
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
