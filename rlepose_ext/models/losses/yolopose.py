r"""The four losses of YOLO-Pose, and what scales them.

A person is learnt at several places, cells and anchors of several levels
(:mod:`rlepose_ext.codecs.yolopose_label`). With the box found at such a place and the person's,

    loss_box         = mean over the places of a level of  1 - CIoU
    loss_objectness  = mean over all cells and anchors of a level of  BCE(objectness, max(CIoU, 0))
    loss_keypoint    = mean over the labelled joints of a level of  1 - exp(-d^2 / (4 sigma_k^2 s))
    loss_visibility  = mean over the joints of the places of a level of  BCE(visibility, labelled)

each summed over the levels; where no person is, objectness should be 0. d is the distance of a
joint, s the area of the person's box, sigma_k COCO's constant of the joint. So the third is 1 less
COCO's OKS, but for a factor of 2 in the exponent that the original leaves out: distances count as
if they were sqrt(2) times longer. Unlike an L1 loss it measures them by the size of the person and
by the kind of joint: a wrist may be off by more than an eye.

**Scale.** The original multiplies the sum by the images of a batch, on all GPUs together, and adds
up the gradients of several batches until it has seen 64. MMEngine averages over GPUs and over
accumulated batches instead. The factor here is therefore a number of the recipe, 64: the
gradient of a step is the same whether its 64 images come from 4 GPUs with 16 each or from one
GPU with 16, four times.

Source: Maji et al., *YOLO-Pose*, CVPR Workshops 2022, arXiv 2204.06806, equations 2 to 5; the
weights are those that it was trained with. CIoU: Zheng et al., arXiv 1911.08287.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from rlepose_ext.checks import check_factors, check_positive
from rlepose_ext.registry import MODELS

# Boxes are at least so wide and high, px: the angle of one without sides has no gradient.
SMALLEST = 1e-6


@dataclass(frozen=True)
class Level:
    """What one level says at the M places of its persons, and what is right; input px.

    Attributes:
        objectness: logits of all cells and anchors, (N, A, H, W).
        places: image, anchor, row and column of each place, (M,) each.
        middle: of boxes, (M, 2).
        size: of boxes, (M, 2).
        points: joints, (M, K, 2).
        visibility: logits, (M, K).
        boxes: labels, (M, 4), x1, y1, x2, y2.
        keypoint_labels: (M, K, 2).
        keypoint_weights: (M, K), 0 without a label.
    """

    objectness: Tensor
    places: tuple[Tensor, ...]
    middle: Tensor
    size: Tensor
    points: Tensor
    visibility: Tensor
    boxes: Tensor
    keypoint_labels: Tensor
    keypoint_weights: Tensor


def complete_iou(middle: Tensor, size: Tensor, boxes: Tensor) -> Tensor:
    r"""IoU less a penalty for distance and one for another aspect ratio (equations 6 to 11).

    .. math::

       \mathrm{CIoU} = \mathrm{IoU} - \frac{|c - c'|^2}{D^2} - \alpha v, \quad
       v = \frac{4}{\pi^2} \left(\arctan\frac{w'}{h'} - \arctan\frac{w}{h}\right)^2, \quad
       \alpha = \frac{v}{1 - \mathrm{IoU} + v}

    D is the diagonal of the smallest box around both; alpha gets no gradient. torchvision's
    function gives the same numbers, and nan for a box that is 0 px high.

    Args:
        middle: (M, 2).
        size: (M, 2), width and height.
        boxes: (M, 4), x1, y1, x2, y2, with an area.

    Returns:
        (M,), -1.5 to 1.
    """
    size = size.clamp(min=SMALLEST)
    low, high = middle - size / 2, middle + size / 2
    true_low, true_high = boxes[:, :2], boxes[:, 2:]
    true_size = true_high - true_low
    shared = (torch.min(high, true_high) - torch.max(low, true_low)).clamp(min=0).prod(-1)
    iou = shared / (size.prod(-1) + true_size.prod(-1) - shared)
    around = torch.max(high, true_high) - torch.min(low, true_low)
    apart = (middle - (true_low + true_high) / 2).square().sum(-1) / around.square().sum(-1)
    angle = torch.atan2(*size.unbind(-1)) - torch.atan2(*true_size.unbind(-1))
    v = (2 / math.pi * angle).square()
    with torch.no_grad():
        alpha = v / (1 - iou + v).clamp(min=SMALLEST)
    return iou - apart - alpha * v


def oks_error(points: Tensor, labels: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """1 - exp(-d^2 / (4 sigma^2 s)) of each joint (equation 4 without its 2).

    Args:
        points: (M, K, 2).
        labels: (M, K, 2).
        area: s, (M,).
        sigmas: (K,).

    Returns:
        (M, K), 0 to 1.
    """
    squared = (points - labels).square().sum(-1)
    return -torch.expm1(-squared / (4 * sigmas.square() * area[:, None]))


@MODELS.register_module()
class YOLOPoseLoss(nn.Module):
    """The four terms, weighted and times ``batch_size``.

    Args:
        metainfo: file with the data set's ``sigmas``, as MMPose's configs name it.
        box_weight: of ``loss_box``.
        objectness_weight: of ``loss_objectness``; 1.6875 at 960 px and 0.75 at 640 px, as the
            square of the side.
        keypoint_weight: of ``loss_keypoint``.
        visibility_weight: of ``loss_visibility``.
        balance: of ``loss_objectness``, for each level: fine levels have more cells.
        batch_size: images of one step of the optimizer in the recipe, see above.

    Raises:
        UserError: a weight is negative, or ``batch_size`` not positive.
    """

    def __init__(
        self,
        metainfo: str = 'configs/_base_/datasets/coco.py',
        box_weight: float = 0.0375,
        objectness_weight: float = 1.6875,
        keypoint_weight: float = 0.1,
        visibility_weight: float = 0.0046875,
        balance: Sequence[float] = (4.0, 1.0, 0.25, 0.06),
        batch_size: float = 64,
    ) -> None:
        super().__init__()
        self.weights = {
            'box': box_weight,
            'objectness': objectness_weight,
            'keypoint': keypoint_weight,
            'visibility': visibility_weight,
        }
        check_factors('YOLOPoseLoss', **{f'{k}_weight': v for k, v in self.weights.items()})
        check_positive('YOLOPoseLoss', batch_size=batch_size)
        self.balance = tuple(balance)
        self.batch_size = batch_size
        sigmas = parse_pose_metainfo({'from_file': metainfo})['sigmas']
        self.register_buffer('sigmas', torch.as_tensor(sigmas).float(), persistent=False)

    def forward(self, levels: Sequence[Level]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            levels: as many as ``balance`` has numbers; float32.

        Returns:
            ``loss_box``, ``loss_objectness``, ``loss_keypoint``, ``loss_visibility``; 0 where
            there is nothing to learn.
        """
        terms = [self._terms(*each) for each in zip(levels, self.balance, strict=True)]
        return {
            f'loss_{name}': weight * self.batch_size * sum(each[name] for each in terms)
            for name, weight in self.weights.items()
        }

    def _terms(self, level: Level, balance: float) -> dict[str, Tensor]:
        """The four means of one level; with no place three are 0, and connected."""
        overlap = complete_iou(level.middle, level.size, level.boxes)
        # Two persons may share a place; the one that is met better counts.
        place = 0
        for index, count in zip(level.places, level.objectness.shape, strict=True):
            place = place * count + index
        objectness = torch.zeros_like(level.objectness).flatten()
        objectness.scatter_reduce_(0, place, overlap.detach().clamp(min=0), 'amax')
        area = (level.boxes[:, 2:] - level.boxes[:, :2]).prod(-1)
        errors = oks_error(level.points, level.keypoint_labels, area, self.sigmas)
        labelled = level.keypoint_weights
        visibility = bce(level.visibility, (labelled > 0).float(), reduction='sum')
        return {
            'box': (1 - overlap).sum() / max(len(overlap), 1),
            'objectness': balance * bce(level.objectness.flatten(), objectness),
            'keypoint': (errors * labelled).sum() / labelled.sum().clamp(min=1),
            'visibility': visibility / max(labelled.numel(), 1),
        }
