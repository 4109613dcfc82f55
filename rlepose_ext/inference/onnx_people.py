"""Files of ``rlepose export`` that find everybody: needs numpy, OpenCV and onnxruntime alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference import arguments
from rlepose_ext.inference.in_pictures import InPictures, People, View, views_of
from rlepose_ext.inference.onnx_file import OnnxFile, joints_meta, opened


class OnnxPeople(InPictures):
    """A bottom-up or one-stage model as a file: images in, the persons of each out.

    It is called as :class:`.onnx_pose.OnnxPose`, without boxes, and takes the place of a detector.

    Args:
        model: the ONNX file, or what :func:`.onnx_file.open_model` gives.
        device: as of :class:`.onnx_pose.OnnxPose`.
        bbox_thr: lowest score of a person, not included; by default that of the model's own kind.
        nms_thr: of two persons whose boxes overlap by more than this IoU, the worse is dropped; by
            default that of the model's own kind.
        batch_size: most pictures of one size that go through the network at once.

    Attributes:
        content: the metadata of the file.

    Raises:
        UserError: a damaged file or one of another kind; onnxruntime is not installed, or has no
            such device.
    """

    def __init__(
        self,
        model: str | Path | OnnxFile,
        device: str = 'auto',
        bbox_thr: float | None = None,
        nms_thr: float | None = None,
        batch_size: int = 8,
    ) -> None:
        if batch_size < 1:
            raise UserError(f'batch_size: expected 1 or more, got {batch_size}')
        file = opened(model, device, finds_everybody=True)
        self._session, self.content = file.session, file.content
        self.meta: Mapping[str, Any] = joints_meta(self.content)
        self.batch_size = batch_size
        given = {'bbox_thr': bbox_thr, 'nms_thr': nms_thr}
        self.bbox_thr, self.nms_thr = (
            self.content[name] if value is None else arguments.read(name, arguments.share, value)
            for name, value in given.items()
        )

    def views(self, frame: np.ndarray) -> list[View]:
        """See :meth:`.InPictures.views`."""
        return views_of(frame, self.content['picture'])

    def people(self, pixels: np.ndarray) -> People:
        """See :meth:`.InPictures.people`."""
        return tuple(self._session.run(pictures=pixels))
