r"""What the debiased integral head computes from its heatmaps, as functions of tensors.

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
:math:`C`, which corrects almost nothing.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rlepose_ext.geometry.spaces import normalise


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
