"""MoveNet MultiPose: all persons of a picture, with boxes and joints, from one look at it.

    from rlepose_ext.inference.multipose import MultiPose

    find = MultiPose()
    result = find('street.jpg')
    result.boxes, result.keypoints

It takes the place of a detector for top-down models too.

A picture is resized so that its longer side has ``longer_side`` pixels, put top left, and padded
with black right and below to multiples of 32, as in Google's reference. Pictures of one size share
a batch.

The network overlooks whoever fills a picture: in a portrait, or in a crop of one person, it finds
nobody. A second look at a small copy, a sixth of the cost, finds them: 53 instead of 20 of 58 such
crops of photographs, and nobody else is found differently (``benchmarks/photographs.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmengine.config import Config
from mmpose.models.pose_estimators import BottomupPoseEstimator

from rlepose_ext.checks import check_counts
from rlepose_ext.engine.cpu_speed import keep_freed_memory, wanted
from rlepose_ext.errors import UserError
from rlepose_ext.inference.in_pictures import InPictures, People, View, view_of
from rlepose_ext.inference.loading import (
    building,
    choose_device,
    config_and_checkpoint,
    init_model,
)
from rlepose_ext.inference.network import normalise_crops, pointwise_by_onednn
from rlepose_ext.models.backbones.movenet import STRIDE
from rlepose_ext.models.heads import MoveNetMultiPoseHead

__all__ = ['MultiPose']

MODEL = 'movenet-multipose'
# Longer side, px, of the picture that the network sees, and of the small copy.
SIDES = (384, 160)


class MultiPose(InPictures):
    """Google's MoveNet MultiPose, or one that was trained here.

    Args:
        model: config file, ``Config``, or name in the zoo.
        checkpoint: file; by default Google's weights, downloaded once.
        device: ``'auto'`` is the first GPU if there is one, else the CPU.
        longer_side: of the picture that the network sees, px. 384 finds what 256 overlooks;
            persons below about 30 px of it are missed.
        close_side: of the small copy in which it looks for persons who take more than
            :data:`.in_pictures.CLOSE` of the picture's longer side; None does without.
        bbox_thr: lowest score, not included. It is a product of several: good persons have 0.3 to
            0.7.
        nms_thr: of two boxes that overlap by more than this IoU, the worse is dropped.
        batch_size: most pictures that go through the network at once.

    Raises:
        UserError: another model, or one without a checkpoint.
    """

    def __init__(
        self,
        model: str | Path | Config = MODEL,
        checkpoint: str | Path | None = None,
        device: str = 'auto',
        longer_side: int = SIDES[0],
        close_side: int | None = SIDES[1],
        bbox_thr: float = 0.2,
        nms_thr: float = 0.45,
        batch_size: int = 8,
    ) -> None:
        check_counts('MultiPose', longer_side=longer_side, batch_size=batch_size)
        if close_side is not None:
            check_counts('MultiPose', close_side=close_side)
        self.device = choose_device(device)
        self.longer_side, self.close_side, self.batch_size = longer_side, close_side, batch_size
        self.bbox_thr, self.nms_thr = bbox_thr, nms_thr
        config, checkpoint = config_and_checkpoint(model, checkpoint)
        with building(f'{config.filename} with {checkpoint}'):
            model = init_model(config, checkpoint, self.device)
        head = getattr(model, 'head', None)
        if not isinstance(model, BottomupPoseEstimator) or not isinstance(
            head, MoveNetMultiPoseHead
        ):
            raise UserError(
                f'{config.filename}: expected a MoveNet MultiPose model, such as {MODEL}, got a '
                f'{type(model).__name__} with {type(head).__name__}'
            )
        self.meta: dict[str, Any] = dict(model.dataset_meta)
        self.model = fuse_conv_bn(model)
        if self.device.type == 'cpu':
            if wanted()[0]:
                keep_freed_memory()
            self.model = self.model.to(memory_format=torch.channels_last)
            pointwise_by_onednn(self.model)

    def views(self, frame: np.ndarray) -> list[View]:
        """See :meth:`.InPictures.views`."""
        sides = [self.longer_side, self.close_side]
        return [view_of(frame, side, STRIDE) for side in sides if side is not None]

    def people(self, pixels: np.ndarray) -> People:
        """See :meth:`.InPictures.people`."""
        head = self.model.head
        with torch.inference_mode():
            x = normalise_crops(pixels, self.model.data_preprocessor, self.device)
            maps = head.activate(head.forward(self.model.extract_feat(x)))
        found = head.decoder.decode_persons(*maps, least=self.bbox_thr)
        return tuple(np.stack(each) for each in zip(*found, strict=True))
