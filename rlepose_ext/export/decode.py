"""Decoding as torch operators, which become part of an exported graph.

Codecs decode in numpy, and some of them joint by joint. Here is the same arithmetic for a batch, in
operators that ONNX has: one module for each family of codecs. Each takes what the head's
``activate`` gives (the head's ``forward`` where there is none) and returns

- keypoints (N, K, 2), input px,
- scores (N, K),
- and, of heads that have it, sigma (N, K, 2), input px.

Ties go to the first pixel, as numpy's ``argmax`` and ONNX's ``ArgMax`` have it. Where MMPose has no
answer (a map without a value above 0), the point is MMPose's too: -1 before scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmpose.codecs import (
    IntegralRegressionLabel,
    MSRAHeatmap,
    RegressionLabel,
    SimCCLabel,
    UDPHeatmap,
)
from torch import Tensor, nn
from torch.nn import functional as F

from rlepose_ext.codecs import LIPHeatmap, MoveNetLabel, SimCCRLELabel, SKPSHeatmap
from rlepose_ext.codecs.movenet_label import DISTANCE_BIAS
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import denormalise, heatmap_to_input
from rlepose_ext.models.heads.simcc_bins import BinReading
from rlepose_ext.models.heads.simcc_rle import soft_argmax


def peaks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Highest pixel of each map: MMPose's ``get_heatmap_maximum``.

    Args:
        maps: (N, K, H, W).

    Returns:
        Pixels x, y (N, K, 2), integers, -1 in maps without a value above 0; heights (N, K).
    """
    index, height = highest(maps)
    pixels = torch.stack(_cell(index, maps.shape[-1]), dim=-1)
    return torch.where(height[..., None] > 0, pixels, -1), height


def highest(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The highest value of each map (N, K, ...): its index when flattened, and itself, (N, K)."""
    flat = maps.flatten(2)
    index = flat.argmax(-1, keepdim=True)
    return index[..., 0], flat.gather(2, index)[..., 0]


def blurred(maps: Tensor, kernel: int, mode: str = 'constant') -> Tensor:
    """OpenCV's ``GaussianBlur`` of each map, with the sigma that it derives from the kernel.

    Args:
        maps: (N, K, H, W).
        kernel: side of the kernel, odd.
        mode: what lies outside of the map: 0, or its ``'reflect'``-ion.
    """
    weight = torch.from_numpy(cv2.getGaussianKernel(kernel, 0, cv2.CV_32F)).to(maps)
    border, joints = kernel // 2, maps.shape[1]
    single = F.pad(maps, [border] * 4, mode=mode).flatten(0, 1)[:, None]
    rows = F.conv2d(single, weight.view(1, 1, 1, -1))
    return F.conv2d(rows, weight.view(1, 1, -1, 1)).unflatten(0, (-1, joints))[:, :, 0]


class Regression(nn.Module):
    """``RegressionLabel``: coordinates normalised by the crop, with or without sigma."""

    def __init__(self, input_size: Sequence[int]) -> None:
        super().__init__()
        self.input_size = tuple(input_size)

    def forward(self, outputs: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        """Points of (N, K, 2), or with sigma of (N, K, 4); more outputs are not used."""
        keypoints = denormalise(outputs[..., :2], self.input_size)
        if outputs.shape[-1] == 2:
            return keypoints, torch.ones_like(outputs[..., 0])
        sigma = outputs[..., 2:]
        return keypoints, (1 - sigma).mean(-1), denormalise(sigma, self.input_size)


class QuarterShift(nn.Module):
    """``MSRAHeatmap``: the highest pixel, a quarter of a pixel towards its higher neighbour."""

    def __init__(self, codec: MSRAHeatmap) -> None:
        super().__init__()
        self.factors = [float(factor) for factor in codec.scale_factor]

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Points of heatmaps (N, K, H, W)."""
        pixels, scores = peaks(maps)
        x, y = pixels.unbind(-1)
        height, width = maps.shape[2:]
        read = _reader(maps)
        # Which pixels have neighbours is MMPose's choice: column 1 has not, column W - 2 has.
        near_x = (x > 1) & (x < width - 1) & (y > 0) & (y < height)
        near_y = (y > 1) & (y < height - 1) & (x > 0) & (x < width)
        dx = torch.where(near_x, read(x + 1, y) - read(x - 1, y), 0).sign()
        dy = torch.where(near_y, read(x, y + 1) - read(x, y - 1), 0).sign()
        points = pixels + 0.25 * torch.stack([dx, dy], dim=-1)
        return denormalise(points, self.factors), scores


class Dark(nn.Module):
    """``MSRAHeatmap`` with ``unbiased``: the top of a Gaussian through the pixels around the peak.

    With L the logarithm of the blurred map, the step from the highest pixel is -H^-1 g, g and H its
    gradient and Hessian by differences over two pixels (Zhang et al., *Distribution-Aware
    Coordinate Representation*, CVPR 2020, arXiv 1910.06278, equation 7).
    """

    def __init__(self, codec: MSRAHeatmap) -> None:
        super().__init__()
        self.factors = [float(factor) for factor in codec.scale_factor]
        self.kernel = codec.blur_kernel_size

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Points of heatmaps (N, K, H, W)."""
        pixels, scores = peaks(maps)
        x, y = pixels.unbind(-1)
        height, width = maps.shape[2:]
        read = _reader(_modulated(maps, self.kernel).clamp_min(1e-10).log())
        inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
        dx = 0.5 * (read(x + 1, y) - read(x - 1, y))
        dy = 0.5 * (read(x, y + 1) - read(x, y - 1))
        dxx = 0.25 * (read(x + 2, y) - 2 * read(x, y) + read(x - 2, y))
        dyy = 0.25 * (read(x, y + 2) - 2 * read(x, y) + read(x, y - 2))
        corners = read(x + 1, y + 1) - read(x + 1, y - 1) - read(x - 1, y + 1) + read(x - 1, y - 1)
        dxy = 0.25 * corners
        regular = dxx * dyy - dxy**2 != 0
        step = _newton_step(dx, dy, dxx, dxy, dyy)
        points = pixels - torch.where((inside & regular)[..., None], step, 0)
        return denormalise(points, self.factors), scores


class DarkUDP(nn.Module):
    """``UDPHeatmap`` of Gaussians: the step of :class:`Dark` with differences over one pixel."""

    def __init__(self, codec: UDPHeatmap) -> None:
        super().__init__()
        self.input_size, self.heatmap_size = codec.input_size, codec.heatmap_size
        self.kernel = codec.blur_kernel_size

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Points of heatmaps (N, K, H, W)."""
        pixels, scores = peaks(maps)
        logs = _modulated(maps, self.kernel).clamp(1e-3, 50.0).log()
        read = _wrapping_reader(F.pad(logs, [1, 1, 1, 1], mode='replicate'), pixels + 1)
        here, left, right = read(0, 0), read(-1, 0), read(1, 0)
        above, below = read(0, -1), read(0, 1)
        dx, dy = 0.5 * (right - left), 0.5 * (below - above)
        dxx, dyy = right - 2 * here + left, below - 2 * here + above
        dxy = 0.5 * (
            read(1, 1) - right - below + here + here - left - above + read(-1, -1)
        )  # fmt: skip
        epsilon = float(np.finfo(np.float32).eps)
        step = _newton_step(dx, dy, dxx, dxy, dyy, epsilon)
        return _udp_to_input(pixels - step, self.input_size, self.heatmap_size), scores


class CombinedUDP(nn.Module):
    """``UDPHeatmap`` of type ``combined``: a map that says where, and two that hold offsets."""

    def __init__(self, codec: UDPHeatmap) -> None:
        super().__init__()
        self.input_size, self.heatmap_size = codec.input_size, codec.heatmap_size
        self.kernel = 2 * codec.blur_kernel_size + 1
        self.radius = float(codec.radius_factor * max(codec.heatmap_size))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Points of maps (N, 3K, H, W): for each joint the disk, then x and y."""
        pixels, scores = peaks(blurred(maps[:, ::3], self.kernel, 'reflect'))
        offset = [
            _wrapping_reader(each, pixels)(0, 0) * self.radius
            for each in (maps[:, 1::3], maps[:, 2::3])
        ]
        points = pixels + torch.stack(offset, dim=-1)
        return _udp_to_input(points, self.input_size, self.heatmap_size), scores


class PixelMiddle(nn.Module):
    """``LIPHeatmap``: the middle of the highest pixel."""

    def __init__(self, codec: LIPHeatmap) -> None:
        super().__init__()
        self.input_size, self.heatmap_size = codec.input_size, codec.heatmap_size

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Points of heatmaps (N, K, H, W)."""
        pixels, scores = peaks(maps)
        return heatmap_to_input(pixels + 0.5, self.input_size, self.heatmap_size), scores


class OffsetMaps(nn.Module):
    """``SKPSHeatmap``: the highest pixel, and the offset found there."""

    def __init__(self, codec: SKPSHeatmap) -> None:
        super().__init__()
        self.input_size, self.heatmap_size = codec.input_size, codec.heatmap_size

    def forward(self, maps: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Points of heatmaps (N, K, H, W) and offsets (N, 2K, H, W)."""
        index, scores = highest(maps)
        points = torch.stack(_cell(index, maps.shape[-1]), -1) + _pairs_at(offsets, index)
        return heatmap_to_input(points, self.input_size, self.heatmap_size), scores


class MoveNet(nn.Module):
    """``MoveNetLabel`` for one person, see :mod:`rlepose_ext.codecs.movenet_label`."""

    def __init__(self, codec: MoveNetLabel) -> None:
        super().__init__()
        self.input_size, self.heatmap_size = codec.input_size, codec.heatmap_size

    def forward(
        self, heatmap: Tensor, centre: Tensor, regression: Tensor, offset: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Points of the maps of :func:`~rlepose_ext.codecs.movenet_label.decode_single`."""
        height, width = heatmap.shape[2:]
        middle = heatmap.new_tensor([[[width / 2, height / 2]]])
        index, _ = highest(centre / (_distance(middle, height, width) + DISTANCE_BIAS))  # (N, 1)
        cell = torch.stack(_cell(index, width), -1)
        guess = cell + _pairs_at(regression, index.expand(-1, heatmap.shape[1]))
        index, _ = highest(heatmap / (_distance(guess, height, width) + DISTANCE_BIAS))
        points = torch.stack(_cell(index, width), -1) + _pairs_at(offset, index)
        scores = heatmap.flatten(2).gather(2, index[..., None])[..., 0]
        return heatmap_to_input(points, self.input_size, self.heatmap_size), scores


class SimCC(nn.Module):
    """``SimCCLabel``: the greatest bin of each axis; scores and sigma of a reading, if any.

    Without a reading, the smaller of the two logits is the score.
    """

    def __init__(self, codec: SimCCLabel, reading: BinReading | None = None) -> None:
        super().__init__()
        if codec.use_dark:
            raise UserError(
                'SimCCLabel with use_dark: MMPose 1.3.2 does not decode it, and neither does an '
                'exported model. Set use_dark=False.'
            )
        self.split, self.reading = float(codec.simcc_split_ratio), reading

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Points of bins (N, K, W s) and (N, K, H s)."""
        (bin_x, height_x), (bin_y, height_y) = highest(x), highest(y)
        scores = torch.minimum(height_x, height_y)
        bins = torch.where(scores[..., None] > 0, torch.stack([bin_x, bin_y], dim=-1), -1)
        read = {'keypoint_scores': scores, **(self.reading(x, y) if self.reading else {})}
        return bins / self.split, *read.values()


class SimCCRLE(nn.Module):
    """``SimCCRLELabel``: points from the bins or their mean, and sigma."""

    def __init__(self, codec: SimCCRLELabel, bins: SimCC, branch: str, sigma_scores: bool) -> None:
        super().__init__()
        self.bins = bins
        self.points = Regression(codec.input_size)
        self.branch, self.sigma_scores = branch, sigma_scores

    def forward(self, x: Tensor, y: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points of bins (N, K, W s) and (N, K, H s), and of sigma (N, K, 2) in crop sizes."""
        keypoints, certainty, sigma = self.points(torch.cat([soft_argmax(x, y), sigma], dim=-1))
        if self.branch == 'rle':
            return keypoints, certainty, sigma
        keypoints, scores = self.bins(x, y)
        return keypoints, certainty if self.sigma_scores else scores, sigma


def decoder_of(
    codec: Any, test_cfg: dict[str, Any] | None = None, reading: BinReading | None = None
) -> nn.Module:
    """The module that decodes as a codec does.

    Args:
        codec: the head's decoder.
        test_cfg: of the model; ``branch`` and ``sigma_scores`` of the SimCC + RLE head are read.
        reading: of SimCC's bins.

    Raises:
        UserError: no codec, or one that has no counterpart here.
    """
    test_cfg = test_cfg or {}
    if isinstance(codec, IntegralRegressionLabel):
        codec = codec.keypoint_codec
    # By the class itself: a subclass may decode otherwise.
    kind = type(codec)
    makers: dict[type, Callable[[], nn.Module]] = {
        RegressionLabel: lambda: Regression(codec.input_size),
        MSRAHeatmap: lambda: Dark(codec) if codec.unbiased else QuarterShift(codec),
        UDPHeatmap: lambda: (DarkUDP if codec.heatmap_type == 'gaussian' else CombinedUDP)(codec),
        LIPHeatmap: lambda: PixelMiddle(codec),
        SKPSHeatmap: lambda: OffsetMaps(codec),
        MoveNetLabel: lambda: MoveNet(codec),
        SimCCLabel: lambda: SimCC(codec, reading),
        SimCCRLELabel: lambda: SimCCRLE(
            codec,
            SimCC(codec.simcc, reading),
            test_cfg.get('branch', 'simcc'),
            bool(test_cfg.get('sigma_scores', False)),
        ),
    }
    if kind not in makers:
        known = ', '.join(sorted(each.__name__ for each in makers))
        raise UserError(
            f'the codec {kind.__name__} cannot be part of an exported model; these can: {known}'
        )
    return makers[kind]()


def _modulated(maps: Tensor, kernel: int) -> Tensor:
    """Blurred, each map scaled back to its former maximum: MMPose's ``gaussian_blur``."""
    smooth = blurred(maps, kernel)
    return smooth * (maps.amax((2, 3), keepdim=True) / smooth.amax((2, 3), keepdim=True))


def _newton_step(
    dx: Tensor, dy: Tensor, dxx: Tensor, dxy: Tensor, dyy: Tensor, epsilon: float = 0.0
) -> Tensor:
    """(H + epsilon)^-1 g for each joint, (N, K, 2), in float64 like numpy's ``inv``."""
    dx, dy, dxx, dxy, dyy = (each.double() for each in (dx, dy, dxx, dxy, dyy))
    dxx, dyy = dxx + epsilon, dyy + epsilon
    det = dxx * dyy - dxy * dxy
    return (torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], -1) / det[..., None]).float()


def _reader(maps: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A function that reads map k at pixel x_k, y_k, (N, K) each; clamped to the map."""
    height, width = maps.shape[2:]
    flat = maps.flatten(2)

    def read(x: Tensor, y: Tensor) -> Tensor:
        index = x.clamp(0, width - 1) + y.clamp(0, height - 1) * width
        return flat.gather(2, index[..., None])[..., 0]

    return read


def _wrapping_reader(maps: Tensor, pixels: Tensor) -> Callable[[int, int], Tensor]:
    """A function that reads map k at pixel k plus a step.

    All maps of a person are one row, and what lies off a map is found in the one before, as in
    MMPose's decoding: only joints without a peak come there.
    """
    joints, height, width = maps.shape[1:]
    row = maps.flatten(1)
    start = torch.arange(joints, device=maps.device) * (height * width)
    index = pixels[..., 0] + pixels[..., 1] * width + start

    def read(dx: int, dy: int) -> Tensor:
        return row.gather(1, torch.remainder(index + (dx + dy * width), joints * height * width))

    return read


def _udp_to_input(points: Tensor, input_size: Sequence[int], size: Sequence[int]) -> Tensor:
    """Heatmap px to input px as MMPose's ``UDPHeatmap``: the last pixel lies on the border."""
    factors = [float(side) / (part - 1) for side, part in zip(input_size, size, strict=True)]
    return denormalise(points, factors)


def _cell(index: Tensor, width: int) -> tuple[Tensor, Tensor]:
    return index % width, torch.div(index, width, rounding_mode='floor')


def _pairs_at(maps: Tensor, index: Tensor) -> Tensor:
    """Pair k of (N, 2K, H, W), all x before all y, at pixel k of (N, K): (N, K, 2)."""
    both = maps.flatten(2).unflatten(1, (2, -1))  # (N, 2, K, HW)
    return torch.stack(
        [both[:, axis].gather(2, index[..., None])[..., 0] for axis in range(2)], dim=-1
    )


def _distance(points: Tensor, height: int, width: int) -> Tensor:
    """From each cell to each point: (N, K, 2) to (N, K, H, W)."""
    x = (torch.arange(width, device=points.device) - points[..., :1]).square()
    y = (torch.arange(height, device=points.device) - points[..., 1:]).square()
    return (y[..., None] + x[..., None, :]).sqrt()
