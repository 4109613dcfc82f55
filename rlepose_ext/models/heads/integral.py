r"""Integral regression without its bias.

Integral regression takes the mean of the softmax of a heatmap :math:`z` of :math:`H W` pixels as
the joint's position (Sun et al., *Integral Human Pose Regression*, ECCV 2018, arXiv 1711.08229):

.. math:: J = \frac{1}{C} \sum_p e^{\beta z_p} \, p, \qquad C = \sum_p e^{\beta z_p}

Pixels far from the joint, where :math:`z = 0`, are not without weight: each adds 1 to :math:`C`.
Together they pull the mean towards the middle :math:`m` of the map. Gu et al., *Removing the Bias
of Integral Pose Regression*, ICCV 2021, subtract what a map of zeros would contribute:

.. math:: J' = \frac{C J - H W \, m}{C - H W} = m + (J - m) \frac{C}{C - H W}

The paper writes :math:`m = 1/2` for coordinates in [0, 1]. MMPose counts pixels from their index,
:math:`p = j / W`, so that :math:`m = (W - 1) / 2 W`; with it a single peak on an empty map is
recovered exactly. MMPose 1.3.2 has 1 in place of :math:`H W`, and leaves :math:`\beta` out of
:math:`C`, which corrects almost nothing. Everything else of its ``DSNTHead``, layers, losses, flip
test and state dict, is used as it is.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmpose.models.heads import DSNTHead
from torch import Tensor

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import normalise
from rlepose_ext.registry import MODELS


def integral(logits: Tensor, beta: float) -> tuple[Tensor, Tensor, Tensor]:
    """The mean position of each heatmap after a softmax over its pixels.

    Args:
        logits: heatmaps before the softmax, shape (N, K, H, W).
        beta: factor of the logits; the greater, the closer to the highest pixel.

    Returns:
        coords: normalised by the map, j / W and i / H, shape (N, K, 2).
        heatmaps: the softmax, each map sums to 1, shape of ``logits``.
        log_mass: the logarithm of C, shape (N, K).
        All in float32 at least: sums over thousands of pixels need it.
    """
    logits = beta * logits.to(torch.promote_types(logits.dtype, torch.float32))
    height, width = logits.shape[-2:]
    log_mass = logits.flatten(-2).logsumexp(-1)
    heatmaps = (logits - log_mass[..., None, None]).exp()
    columns = torch.arange(width, dtype=logits.dtype, device=logits.device)
    rows = torch.arange(height, dtype=logits.dtype, device=logits.device)
    mean = torch.stack([heatmaps.sum(-2) @ columns, heatmaps.sum(-1) @ rows], dim=-1)
    return normalise(mean, (width, height)), heatmaps, log_mass


def remove_bias(
    coords: Tensor, log_mass: Tensor, size: Sequence[int], max_gain: float = 20.0
) -> Tensor:
    """Gu et al.'s correction of integral regression (see the module's text).

    The formula has a pole where C = HW, in a map without a peak, and turns around beyond it,
    where a map is negative. A network at its start is there. So the factor C / (C - HW) by
    which a position moves away from the middle has an upper limit, which also stands in where
    the factor would be negative. The limit of 20 is met where C < 1.05 HW.

    Args:
        coords: biased positions, normalised by the map, shape (N, K, 2).
        log_mass: the logarithm of C, shape (N, K).
        size: width and height of the map, heatmap px.
        max_gain: the limit of the factor, at least 1.

    Returns:
        Positions normalised by the map, shape (N, K, 2).
    """
    width, height = size
    # Plain numbers: a tensor would be copied to the device in every forward.
    centre = normalise(np.array([(width - 1) / 2, (height - 1) / 2]), size).tolist()
    # HW / C, without the exponential that overflows
    background = (math.log(width * height) - log_mass).exp()
    gain = 1 / (1 - background).clamp_min(1 / max_gain)
    axes = zip(coords.unbind(-1), centre, strict=True)
    return torch.stack([middle + (axis - middle) * gain for axis, middle in axes], dim=-1)


@MODELS.register_module()
class DebiasedIntegralHead(DSNTHead):
    """MMPose's ``DSNTHead`` with the debiasing of the paper.

    It supervises the coordinates and the heatmaps after the softmax. Its state dict is that of
    ``DSNTHead``, so MMPose's checkpoints load; one that was trained with MMPose's formula gives
    other coordinates here.

    Args:
        args: those of ``DSNTHead``.
        debias: remove the bias. Without it the head is ``DSNTHead(debias=False)``.
        max_gain: how much further from the middle of the map the correction may move a joint;
            see :func:`remove_bias`.
        kwargs: those of ``DSNTHead``.

    Raises:
        ValueError: ``max_gain`` is below 1.
    """

    def __init__(
        self, *args: Any, debias: bool = True, max_gain: float = 20.0, **kwargs: Any
    ) -> None:
        super().__init__(*args, debias=debias, **kwargs)
        if not max_gain >= 1:
            raise ValueError(f'max_gain must be at least 1, got {max_gain}')
        self.max_gain = max_gain

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Coordinates and heatmaps.

        Args:
            feats: feature maps; without deconvolutions the last one counts.

        Returns:
            coords: normalised by the crop, shape (N, K, 2).
            heatmaps: after the softmax, shape (N, K, H, W).

        Raises:
            UserError: maps of another size than ``in_featuremap_size`` leads to. The bias and
                what is decoded depend on it.
        """
        if self.simplebaseline_head is not None:
            logits = self.simplebaseline_head(feats)
        elif self.final_layer is not None:
            logits = self.final_layer(feats[-1])
        else:
            logits = feats[-1]
        size = tuple(logits.shape[:1:-1])
        if size != tuple(self.heatmap_size):
            raise UserError(
                f'DebiasedIntegralHead: expected heatmaps of (width, height) '
                f'{tuple(self.heatmap_size)}, got {size}. Set in_featuremap_size to that of the '
                "last feature map, and the codec's input_size to that of the images."
            )
        coords, heatmaps, log_mass = integral(logits, self.beta)
        if self.debias:
            coords = remove_bias(coords, log_mass, size, self.max_gain)
        return coords, heatmaps
