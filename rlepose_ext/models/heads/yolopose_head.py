"""YOLO-Pose's head: in each cell of four maps boxes with the joints of the person in them.

A level has two branches. One is a 1x1 convolution to 18 channels; the other has depthwise 3x3 and
1x1 convolutions in turn, six and five, each with batch norm and SiLU, before a 1x1 convolution to
9K channels. What the numbers mean is :mod:`rlepose_ext.codecs.yolopose_label`, what they learn
:mod:`rlepose_ext.models.losses.yolopose`.

By the paper the first branch has the boxes of the three anchors and the second their joints. What
its authors trained is otherwise, and their weights fit nothing else: the channels of both are put
behind each other and then divided among the anchors, 6 + 3K for each. So the first branch has the
box and four joints of the first anchor, and all else is of the second, deeper one.

There is one class, and nothing trains it: its score stays nearly what it began with, and multiplies
objectness all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.structures import InstanceData
from mmpose.models.heads import BaseHead
from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.codecs.yolopose_label import BOX_VALUES, YOLOPoseLabel, decode_rows
from rlepose_ext.errors import UserError
from rlepose_ext.models.losses.yolopose import Level
from rlepose_ext.registry import KEYPOINT_CODECS, MODELS


@MODELS.register_module()
class YOLOPoseHead(BaseHead):
    """Boxes and joints of all persons of a picture: a head of bottom-up models.

    2,774,444 parameters with the levels of YOLOv5-s6 and 17 joints.

    Args:
        in_channels: of each level, finest first.
        num_keypoints: K, the number of joints.
        loss: config of :class:`~rlepose_ext.models.losses.yolopose.YOLOPoseLoss`; None for a head
            that is not trained.
        decoder: config of :class:`~rlepose_ext.codecs.yolopose_label.YOLOPoseLabel`.
        init_cfg: by default as torch and mmcv draw convolutions.

    Raises:
        UserError: counts that are none, or a decoder or loss that do not fit.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_keypoints: int,
        decoder: dict,
        loss: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        for channels in in_channels:
            check_counts('YOLOPoseHead', in_channels=channels, num_keypoints=num_keypoints)
        super().__init__(init_cfg)
        self.in_channels = tuple(in_channels)
        self.num_keypoints = num_keypoints
        self.decoder = KEYPOINT_CODECS.build(decoder)
        if not isinstance(self.decoder, YOLOPoseLabel):
            raise UserError(
                f"YOLOPoseHead: expected decoder=dict(type='rlepose_ext.YOLOPoseLabel', ...), got "
                f'{decoder}.'
            )
        if len(self.decoder.strides) != len(in_channels):
            raise UserError(
                f'YOLOPoseHead: {len(in_channels)} levels of in_channels, '
                f'{len(self.decoder.strides)} strides of the decoder; expected as many.'
            )
        self.loss_module = None if loss is None else MODELS.build(loss)
        if loss is not None and len(self.loss_module.sigmas) != num_keypoints:
            raise UserError(
                f'YOLOPoseHead: num_keypoints is {num_keypoints}, and metainfo of the loss has '
                f'sigmas of {len(self.loss_module.sigmas)} joints. Give it the file of the data '
                'set.'
            )
        self.num_anchors = self.decoder.anchors.shape[1]
        self.detection = nn.ModuleList(
            nn.Conv2d(channels, self.num_anchors * BOX_VALUES, 1) for channels in in_channels
        )
        self.keypoints = nn.ModuleList(
            _joint_branch(channels, self.num_anchors * 3 * num_keypoints)
            for channels in in_channels
        )
        for branches, stride in zip(
            zip(self.detection, self.keypoints, strict=True), self.decoder.strides, strict=True
        ):
            self._expect_few(branches[0].bias, branches[1][-1].bias, stride)

    def _expect_few(self, detection: Tensor, keypoints: Tensor, stride: int) -> None:
        """Let the scores of a level begin with what is likely."""
        with torch.no_grad():
            bias = torch.cat([detection, keypoints])
            for anchor in bias.view(self.num_anchors, -1):
                # some eight persons in a picture of 640 px, and six tenths of a class
                anchor[4] += math.log(8 / (640 / stride) ** 2)
                anchor[5] += math.log(0.6 / 0.01)
            detection.copy_(bias[: len(detection)])
            keypoints.copy_(bias[len(detection) :])

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Raw maps of each level, (N, anchors, H, W, 6 + 3K), from (N, C, H, W)."""
        maps = []
        for x, detection, keypoints in zip(feats, self.detection, self.keypoints, strict=True):
            channels = torch.cat([detection(x), keypoints(x)], 1)
            maps.append(channels.unflatten(1, (self.num_anchors, -1)).permute(0, 1, 3, 4, 2))
        return maps

    def activate(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Boxes, joints, scores and joints' scores of all places; see ``YOLOPoseLabel.decode``."""
        return self.decoder.decode([each.float() for each in maps])

    def predict(
        self, feats: Sequence[Tensor], batch_data_samples: list, test_cfg: dict | None = None
    ) -> list[InstanceData]:
        """Persons of each picture in input px.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: not used.
            test_cfg: ``score_thr``: lowest score of a person, not included, default 0.001;
                ``nms_thr``: of two boxes that overlap by more than this IoU the worse is dropped,
                default 0.6; ``max_per_img``: how many persons at most, default 300.

        Returns:
            For each picture ``keypoints`` (M, K, 2), ``keypoint_scores`` (M, K), ``bboxes``
            (M, 4) x1, y1, x2, y2 and ``bbox_scores`` (M,), best first; numpy.

        Raises:
            UserError: ``flip_test``, which this head has not.
        """
        # not above: torchvision loads torch's compiler, and most models do without
        from torchvision.ops import nms

        test_cfg = test_cfg or {}
        if test_cfg.get('flip_test', False):
            raise UserError(
                'YOLOPoseHead: expected test_cfg without flip_test: the persons of two views would '
                'have to be matched. Set flip_test=False.'
            )
        threshold, overlap = test_cfg.get('score_thr', 0.001), test_cfg.get('nms_thr', 0.6)
        most = test_cfg.get('max_per_img', 300)
        poses = []
        for found in zip(*self.activate(self.forward(feats)), strict=True):
            good = found[2] > threshold
            boxes, points, scores, joints = (values[good] for values in found)
            kept = nms(boxes, scores, overlap)[:most]
            pose = InstanceData(
                keypoints=points[kept],
                keypoint_scores=joints[kept],
                bboxes=boxes[kept],
                bbox_scores=scores[kept],
            )
            poses.append(pose.numpy())
        return poses

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: labels as the codec gives them.
            train_cfg: not used.

        Returns:
            ``loss_box``, ``loss_objectness``, ``loss_keypoint``, ``loss_visibility``.
        """
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        names = YOLOPoseLabel.label_mapping_table
        cells, boxes, points, weights = (torch.cat([each[n] for each in labels]) for n in names)
        counts = torch.tensor([len(each.cells) for each in labels], device=cells.device)
        image = torch.repeat_interleave(counts)
        levels = []
        for number, rows in enumerate(self.forward(feats)):
            rows = rows.float()
            here = cells[:, 0] == number
            anchor, y, x = cells[here, 1:].unbind(-1)
            places = (image[here], anchor, y, x)
            at = rows[places]
            sizes = at.new_tensor(self.decoder.anchors[number])[anchor]
            stride = self.decoder.strides[number]
            middle, size, joints = decode_rows(at, torch.stack([x, y], -1), sizes, stride)
            levels.append(
                Level(
                    objectness=rows[..., 4],
                    places=places,
                    middle=middle,
                    size=size,
                    points=joints,
                    visibility=at[:, BOX_VALUES + 2 :: 3],
                    boxes=boxes[here],
                    keypoint_labels=points[here],
                    keypoint_weights=weights[here],
                )
            )
        return self.loss_module(levels)


def _joint_branch(channels: int, out_channels: int) -> nn.Sequential:
    norm = {'norm_cfg': {'type': 'BN', 'eps': 1e-3, 'momentum': 0.03}, 'act_cfg': {'type': 'SiLU'}}
    depthwise = {'kernel_size': 3, 'padding': 1, 'groups': channels, **norm}
    layers = []
    for _ in range(5):
        layers.append(ConvModule(channels, channels, **depthwise))
        layers.append(ConvModule(channels, channels, 1, **norm))
    layers.append(ConvModule(channels, channels, **depthwise))
    return nn.Sequential(*layers, nn.Conv2d(channels, out_channels, 1))
