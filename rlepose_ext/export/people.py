"""Models that find everybody as an ONNX file: pictures in, P persons each out.

A graph gives keypoints (N, P, K, 2), their scores (N, P, K), boxes (N, P, 4) x1, y1, x2, y2 and
their scores (N, P), in px of its input. Most of the P are nobody, with a score near 0. What depends
on their number, dropping those and of two at one person the worse, is left to whoever runs the
file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.ops import DeformConv2d
from mmengine.config import Config
from mmpose.codecs.utils import batch_heatmap_nms
from mmpose.datasets.transforms import BottomupResize, LoadImage, PackPoseInputs
from mmpose.models.heads import DEKRHead as StockDEKRHead
from mmpose.models.heads.hybrid_heads import YOLOXPoseHead
from mmpose.models.necks import FeatureMapProcessor
from mmpose.registry import TRANSFORMS
from torch import Tensor, nn
from torch.nn import functional as F

from rlepose_ext.codecs.adaptive_pose_label import WINDOW
from rlepose_ext.codecs.movenet_label import COUNTED_SCORE, EQUAL, VARIANCE
from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.errors import UserError
from rlepose_ext.export.graph import Normalise
from rlepose_ext.export.onnx import Subject, about, steady
from rlepose_ext.inference.in_pictures import views_of
from rlepose_ext.inference.loading import building, init_model
from rlepose_ext.inference.multipose import SIDES
from rlepose_ext.inference.network import normalise_crops, optimise
from rlepose_ext.models.backbones.movenet import STRIDE
from rlepose_ext.models.heads import (
    AdaptivePoseHead,
    DEKRHead,
    MoveNetMultiPoseHead,
    YOLOPoseHead,
)

OUTPUTS = ['keypoints', 'scores', 'boxes', 'box_scores']
# P of heads whose priors are thousands, the best of them.
MOST = 300
# Of how many drawn pictures the persons are compared.
PICTURES = 4
SIZE = (320, 240)


def people_of(config: Config, checkpoint: str, half: bool) -> Subject:
    """The model as :func:`.onnx.export_onnx` takes it.

    Raises:
        UserError: a head or a test pipeline without a counterpart here, or a checkpoint of another
            model.
    """
    if (config.model.get('test_cfg') or {}).get('multiscale_test', False):
        raise UserError(
            f'{config.filename} tests at several scales, and a file has one: export the config '
            'that is tested at one scale, which has the same weights'
        )
    with building(f'{config.filename} with {checkpoint}'):
        model = init_model(config, checkpoint, torch.device('cpu'))
    kind = _kind(model)
    how = _picture_of(model, config)
    case = _case(model, how, SIZE)
    other = _case(model, how, SIZE[::-1]) if 'multiple' in how else None
    nms_thr = kind.nms_thr
    if nms_thr is None:
        nms_thr = float(config.model.get('test_cfg', {}).get('nms_thr', 1.0))
    content = {
        **about(model, model.dataset_meta, checkpoint, half),
        'layout': 'rlepose',
        'persons': 'many',
        'channel_order': 'bgr',
        'outputs': OUTPUTS,
        'units': 'input px: keypoints and boxes',
        'picture': how,
        'bbox_thr': kind.bbox_thr,
        'nms_thr': nms_thr,
        'sigma_spread': None,
    }
    shapes = {0: torch.export.Dim('batch', min=1)}
    if 'multiple' in how:
        for axis, name in ((1, 'rows'), (2, 'columns')):
            shapes[axis] = how['multiple'] * torch.export.Dim(name, min=2)
    pictures, expected, same = case
    graph = PeopleGraph(optimise(model, pictures.shape[1:])[0], half).eval()
    return Subject(graph, content, 'pictures', pictures, (shapes,), expected, same, other=other)


def _picture_of(model: nn.Module, config: Config) -> dict[str, Any]:
    """How a picture becomes the network's input, as :class:`.onnx_people.OnnxPeople` reads it."""
    if isinstance(model.head, MoveNetMultiPoseHead):
        return {'type': 'longer side', 'sides': list(SIDES), 'multiple': STRIDE, 'fill': [0, 0, 0]}
    steps = [TRANSFORMS.build(step) for step in config.test_dataloader.dataset.pipeline]
    resizes = [step for step in steps if isinstance(step, BottomupResize)]
    others = [
        type(step).__name__
        for step in steps
        if not isinstance(step, (BottomupResize, LoadImage, PackPoseInputs))
    ]
    if len(resizes) != 1 or others:
        raise UserError(
            f'the test pipeline of {config.filename}: expected LoadImage, BottomupResize and '
            f'PackPoseInputs, got {", ".join(others) or "no BottomupResize"}'
        )
    (step,) = resizes
    if step.use_udp or step.aug_scales:
        raise UserError(
            'BottomupResize: rlepose_ext.runtime knows it without use_udp and aug_scales, got '
            f'{step.use_udp} and {step.aug_scales}'
        )
    how = {'type': step.resize_mode, 'size': list(step.input_size), 'fill': list(step.pad_val)}
    return how if step.resize_mode == 'fit' else {**how, 'multiple': step.size_factor}


def _case(
    model: nn.Module, how: dict[str, Any], size: tuple[int, int]
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Pictures of that width and height, what the head finds in them, and which joints count."""
    pictures = _drawn(how, size)
    expected = _expected(model, pictures)
    return pictures, expected, steady(model, lambda: _expected(model, pictures)[0], expected[0])


def _drawn(how: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Views of drawn pictures, the same for every call, (N, H, W, 3) uint8."""
    views = []
    for index in range(PICTURES):
        image, _ = draw_one(0, 'val', index, SyntheticPeopleConfig())
        views.append(views_of(cv2.resize(image, size), how)[0].pixels)  # one batch
    return np.stack(views)


def _expected(model: nn.Module, pictures: np.ndarray) -> list[np.ndarray]:
    """The outputs by the head's own code."""
    x = normalise_crops(pictures, model.data_preprocessor, torch.device('cpu'))
    with torch.inference_mode():
        return _kind(model).expected(model, x)


class PeopleGraph(nn.Module):
    """uint8 pictures to persons: normalisation, network and decoding.

    Args:
        model: a bottom-up pose estimator in eval mode; with ``half`` it is converted in place.
        half: run the network in float16.

    Raises:
        UserError: a head without a counterpart here.
    """

    def __init__(self, model: nn.Module, half: bool = False) -> None:
        super().__init__()
        self.normalise = Normalise(model.data_preprocessor)
        self.decode = _kind(model).decode(model)
        for part in model.modules():
            if isinstance(part, DeformConv2d):
                part.forward = partial(_deformed, part)
            elif isinstance(part, FeatureMapProcessor):
                part._concat = partial(_concatenated, part)
        self.model = model.half() if half else model
        self.dtype = torch.float16 if half else torch.float32

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """See the module.

        Args:
            pictures: (N, H, W, 3) uint8 BGR.
        """
        x = self.normalise(pictures.permute(0, 3, 1, 2).float()).to(self.dtype)
        outputs = self.model.head.forward(self.model.extract_feat(x))
        return self.decode(outputs)


class MultiPoseDecoder(nn.Module):
    """:func:`~rlepose_ext.codecs.movenet_label.decode_many` as torch operators, in input px."""

    def __init__(self, head: MoveNetMultiPoseHead) -> None:
        super().__init__()
        codec = head.decoder
        self.activate, self.persons = head.activate, codec.max_persons
        self.stride = codec.input_size[0] / codec.heatmap_size[0]

    def forward(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Persons of the head's raw maps."""
        maps = self.activate(tuple(each.float() for each in outputs))
        heatmap, centre, regression, offset, box_size, box_offset = maps
        height, width = heatmap.shape[2:]
        score = centre[:, 0]
        peak = score >= F.max_pool2d(centre, 5, 1, 2)[:, 0] - EQUAL
        # cells without a peak come last and in their order, as numpy sorts them
        last = -torch.arange(height * width).to(score)
        score, best = torch.where(peak.flatten(1), score.flatten(1), last).topk(self.persons)
        score = score.clamp_min(0)  # (N, P)
        grid = _grid(height, width, score)
        size = grid[-1] + 1
        cells = grid[best]  # (N, P, 2)

        middle = cells + _pairs(box_offset, best)[:, :, 0]
        half = _pairs(box_size, best)[:, :, 0].clamp_min(0) / 2
        low, high = (
            torch.minimum(corner.clamp_min(0), size) for corner in (middle - half, middle + half)
        )
        guess = cells[:, :, None] + _pairs(regression, best)  # (N, P, K, 2)
        variance = VARIANCE * size.amin(0)
        along = [
            _gate(guess[..., i], low[..., i], high[..., i], side, variance)
            for i, side in enumerate((width, height))
        ]
        weights = heatmap[:, None] * along[1][..., None] * along[0][..., None, :]
        weights = weights.flatten(3)  # (N, P, K, HW)
        joint_cell = weights.argmax(-1)  # (N, P, K)
        # what each of the P persons gives to each of these cells
        index = joint_cell.transpose(1, 2)[:, :, None].expand(-1, -1, self.persons, -1)
        joint_scores = weights.transpose(1, 2).gather(3, index).amax(2).transpose(1, 2)
        x, y = (
            half.flatten(2).gather(2, joint_cell.transpose(1, 2)).transpose(1, 2)
            for half in offset.chunk(2, 1)
        )
        points = grid[joint_cell] + torch.stack([x, y], -1)
        counted = (joint_scores > COUNTED_SCORE).float()
        mean = (joint_scores * counted).sum(-1) / counted.sum(-1).clamp_min(1)
        boxes = torch.cat([low, high], -1)
        return points * self.stride, joint_scores, boxes * self.stride, score * mean


class YOLOXPoseDecoder(nn.Module):
    """MMPose's ``YOLOXPoseHead.predict`` up to its thresholds: the best priors of all levels."""

    def __init__(self, head: YOLOXPoseHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, outputs: tuple[list[Tensor], ...]) -> tuple[Tensor, ...]:
        """Persons of the head's outputs, one of each kind for each level."""
        head, (classes, objects, boxes, offsets, visible) = self.head, outputs
        sizes = [each.shape[2:] for each in classes]
        priors = torch.cat(head.prior_generator.grid_priors(sizes, device=classes[0].device))
        strides = torch.cat(
            [
                priors.new_full((height * width,), float(stride))
                for (height, width), stride in zip(sizes, head.featmap_strides, strict=True)
            ]
        )
        flat = [head._flatten_predictions(each).float() for each in outputs]
        classes, objects, boxes, offsets, visible = flat
        score = (classes.sigmoid() * objects.sigmoid()).amax(-1)
        score, best = score.topk(min(MOST, score.shape[1]))
        boxes = head.decode_bbox(boxes, priors, strides)
        points = head.decode_kpt_reg(offsets, priors, strides)

        return *(_best(each, best) for each in (points, visible.sigmoid(), boxes)), score


class YOLOPoseDecoder(nn.Module):
    """The best places of ``YOLOPoseLabel.decode``."""

    def __init__(self, head: YOLOPoseHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Persons of the head's raw maps."""
        boxes, points, score, joint_scores = self.head.activate(maps)
        score, best = score.topk(min(MOST, score.shape[1]))
        return *(_best(each, best) for each in (points, joint_scores, boxes)), score


class AdaptivePoseDecoder(nn.Module):
    """``AdaptivePoseLabel.decode`` as torch operators, with boxes around the joints."""

    def __init__(self, head: AdaptivePoseHead) -> None:
        super().__init__()
        codec = head.decoder
        self.activate, self.persons = head.activate, codec.max_persons
        self.stride = codec.input_size[0] / codec.heatmap_size[0]

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Persons of the head's raw maps."""
        centre, offset = self.activate(maps)
        score, best = batch_heatmap_nms(centre, WINDOW).flatten(1).topk(self.persons)
        cells = _grid(*centre.shape[2:], score)[best]
        points = (cells[:, :, None] + _pairs(offset, best)) * self.stride
        scores = score[..., None].expand(points.shape[:-1])
        return points, scores, _around(points), score


class DEKRDecoder(nn.Module):
    """MMPose's ``DEKRHead.decode`` as torch operators, its suppression included.

    Persons that it drops are zeros, behind the others.

    Args:
        model: its head, skeleton and ``test_cfg`` are read.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.head, self.codec, self.options = model.head, model.head.decoder, model.test_cfg
        self.links = model.dataset_meta['skeleton_links']

    def forward(self, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Persons of heatmaps (N, K + 1, H, W) and displacements (N, 2 K, H, W)."""
        heatmap, displacement = (each.float() for each in outputs)
        codec, joints, (height, width) = self.codec, heatmap.shape[1] - 1, heatmap.shape[2:]
        peaks = batch_heatmap_nms(heatmap[:, -1:], codec.decode_nms_kernel).flatten(1)
        root, best = peaks.topk(codec.decode_max_instances)  # (N, P)
        found = root > codec.decode_thr
        # x and y of a joint are neighbours here
        steps = _best(displacement.flatten(2).mT, best).unflatten(2, (-1, 2))  # (N, P, K, 2)
        points = _grid(height, width, root)[best][:, :, None] + steps
        x, y = points.unbind(-1)
        place = torch.stack([x / (width - 1) * 2 - 1, y / (height - 1) * 2 - 1], -1)
        scores = F.grid_sample(
            heatmap[:, :joints].flatten(0, 1)[:, None],
            place.transpose(1, 2).flatten(0, 1)[:, None],  # (N K, 1, P, 2)
            padding_mode='border',
            align_corners=False,
        )
        scores = scores.reshape(-1, joints, root.shape[1]).mT  # (N, P, K)
        points = points * root.new_tensor(codec.scale_factor)
        if self.head.rescore_net is not None:
            flat = (points.flatten(0, 1), scores.flatten(0, 1), self.links)
            again = self.head.rescore_net(*flat).unflatten(0, (-1, root.shape[1]))
            root = root * torch.where(again.isnan(), 0, again)
        if self.options.get('nms_dist_thr', 0) > 0:
            found = self._kept(points, scores.mean(-1), found)
        scores = root[..., None] * scores * found[..., None]
        order = torch.where(found, scores.mean(-1), -torch.inf).argsort(descending=True)
        points = _best(points * found[..., None, None], order)
        scores = _best(scores, order)
        return points, scores, _around(points), scores.mean(-1)

    def _kept(self, points: Tensor, score: Tensor, found: Tensor) -> Tensor:
        """Which of ``found`` (N, P) MMPose's ``nearby_joints_nms`` keeps."""
        order = torch.where(found, score, -1).argsort(descending=True)
        points, left = _best(points, order), _best(found, order)
        spread = (points.amax(2) - points.amin(2)).norm(dim=-1)
        apart = (points[:, :, None] - points[:, None]).norm(dim=-1)  # (N, P, P, K)
        close = apart < (self.options['nms_dist_thr'] * spread)[:, :, None, None]
        most = self.options.get('nms_joints_thr') or points.shape[2] // 2
        close = close.sum(-1) > most  # (N, P, P)
        best = close.int().argmax(-1)  # of those near a person
        kept = torch.zeros_like(left)
        places = torch.arange(left.shape[1], device=left.device)
        for person in range(left.shape[1]):
            here = places == best[:, person, None]
            taken = left[:, person] & (left & here).any(1)
            kept = kept | (here & taken[:, None])
            left = left & ~(close[:, person] & taken[:, None])
        return kept.gather(1, order.argsort())


@dataclass(frozen=True)
class Kind:
    """How models of a head are exported.

    Attributes:
        decode: makes the module that decodes from the model.
        expected: from a model and normalised pictures to the four outputs, by the head itself.
        bbox_thr: lowest score of a person, by default.
        nms_thr: largest IoU of two persons' boxes, by default; None takes that of the config.
    """

    decode: Callable[[Any], nn.Module]
    expected: Callable[[nn.Module, Tensor], list[np.ndarray]]
    bbox_thr: float
    nms_thr: float | None = None


def _multipose(model: nn.Module, x: Tensor) -> list[np.ndarray]:
    maps = model.head.activate(model.head.forward(model.extract_feat(x)))
    return [np.stack(each) for each in zip(*model.head.decoder.decode_persons(*maps), strict=True)]


def _yolox(model: nn.Module, x: Tensor) -> list[np.ndarray]:
    from mmpose.structures import PoseDataSample

    # Boxes are not cut at the border of the padding here.
    size = (10**6, 10**6)
    samples = [PoseDataSample(metainfo={'input_size': size}) for _ in x]
    test_cfg = {'score_thr': -1, 'nms_thr': 1.0, 'nms_pre': MOST}
    return _instances(model.head.predict(model.extract_feat(x), samples, test_cfg))


def _yolo(model: nn.Module, x: Tensor) -> list[np.ndarray]:
    test_cfg = {'score_thr': -1, 'nms_thr': 1.0, 'max_per_img': MOST}
    return _instances(model.head.predict(model.extract_feat(x), [], test_cfg))


def _adaptive(model: nn.Module, x: Tensor) -> list[np.ndarray]:
    return _instances(model.head.predict(model.extract_feat(x), []))


def _dekr(model: nn.Module, x: Tensor) -> list[np.ndarray]:
    persons = model.head.decoder.decode_max_instances
    maps = [[each] for each in model.head.forward(model.extract_feat(x))]
    meta = {'skeleton_links': model.dataset_meta['skeleton_links']}
    parts = []
    for found in model.head.decode(*maps, model.test_cfg, meta):
        order = found.keypoint_scores.mean(1).argsort()[::-1]
        points, scores = found.keypoints[order], found.keypoint_scores[order]
        boxes = np.concatenate([points.min(1), points.max(1)], 1)
        more = persons - len(order)
        parts.append(
            [
                np.concatenate([each, np.zeros((more, *each.shape[1:]), np.float32)])
                for each in (points, scores, boxes, scores.mean(1))
            ]
        )
    return [np.stack(each) for each in zip(*parts, strict=True)]


def _instances(found: list[Any]) -> list[np.ndarray]:
    names = ('keypoints', 'keypoint_scores', 'bboxes', 'bbox_scores')
    return [np.stack([np.asarray(each[name]) for each in found]) for name in names]


DEKR = Kind(DEKRDecoder, _dekr, bbox_thr=0.3, nms_thr=1.0)
KINDS = {
    MoveNetMultiPoseHead: Kind(
        lambda model: MultiPoseDecoder(model.head), _multipose, bbox_thr=0.2, nms_thr=0.45
    ),
    YOLOXPoseHead: Kind(lambda model: YOLOXPoseDecoder(model.head), _yolox, bbox_thr=0.3),
    YOLOPoseHead: Kind(lambda model: YOLOPoseDecoder(model.head), _yolo, bbox_thr=0.3),
    AdaptivePoseHead: Kind(
        lambda model: AdaptivePoseDecoder(model.head), _adaptive, bbox_thr=0.3, nms_thr=1.0
    ),
    StockDEKRHead: DEKR,
    DEKRHead: DEKR,
}


def _kind(model: nn.Module) -> Kind:
    # By the class itself: a subclass may decode otherwise.
    kind = KINDS.get(type(model.head))
    if kind is None:
        known = ', '.join(sorted({each.__name__ for each in KINDS}))
        raise UserError(
            f'models with {type(model.head).__name__} cannot be exported; of those that find '
            f'everybody, these can: {known}'
        )
    return kind


def _grid(height: Any, width: Any, like: Tensor) -> Tensor:
    """The x and y of each cell of a map, (HW, 2); a remainder of sizes that vary has no ONNX."""
    y, x = torch.meshgrid(
        torch.arange(height).to(like), torch.arange(width).to(like), indexing='ij'
    )
    return torch.stack([x, y], -1).flatten(0, 1)


def _best(values: Tensor, best: Tensor) -> Tensor:
    """The entries ``best`` (N, P) of (N, M, ...): (N, P, ...)."""
    index = best.reshape(*best.shape, *[1] * (values.ndim - 2))
    return values.gather(1, index.expand(-1, -1, *values.shape[2:]))


def _around(points: Tensor) -> Tensor:
    """Boxes around the joints (N, P, K, 2): x1, y1, x2, y2, (N, P, 4)."""
    return torch.cat([points.amin(2), points.amax(2)], -1)


def _deformed(layer: DeformConv2d, x: Tensor, offset: Tensor) -> Tensor:
    """The layer by torchvision's operator, which the exporter knows, for batches of any size."""
    from torchvision.ops import deform_conv2d

    options = {'stride': layer.stride, 'padding': layer.padding, 'dilation': layer.dilation}
    return deform_conv2d(x, offset, layer.weight, **options)


def _concatenated(neck: FeatureMapProcessor, maps: list[Tensor]) -> list[Tensor]:
    """Maps at the size of the first; MMPose makes plain numbers of the size of this picture."""
    size, options = maps[0].shape[-2:], {'align_corners': neck.align_corners}
    return [torch.cat([F.interpolate(x, size, mode='bilinear', **options) for x in maps], 1)]


def _pairs(maps: Tensor, best: Tensor) -> Tensor:
    """All pairs of (N, 2K, H, W), x before y, at the cells (N, P): (N, P, K, 2)."""
    index = best[:, None].expand(-1, maps.shape[1], -1)
    both = maps.flatten(2).gather(2, index).unflatten(1, (2, -1))  # (N, 2, K, P)
    return both.permute(0, 3, 2, 1)


def _gate(guess: Tensor, low: Tensor, high: Tensor, side: Any, variance: Tensor) -> Tensor:
    """The Gaussian along one axis, 0 outside of the box: (N, P, K) to (N, P, K, side)."""
    cells = torch.arange(side, device=guess.device)
    inside = (cells >= low[..., None]) & (cells < high[..., None])  # (N, P, side)
    tail = torch.exp(-(cells - guess[..., None]).square() / variance)
    return tail * inside[:, :, None]
