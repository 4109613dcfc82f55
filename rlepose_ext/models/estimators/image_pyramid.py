"""Images in several sizes, from the pipeline to the head, for a test at several scales.

``BottomupResize(aug_scales=[0.5, 2.0])`` makes an image in three sizes, that of scale 1 first, and
``BottomupPoseEstimator`` gives the features of all to the head. Between the two MMPose 1.3.2 stacks
the images, which fails: in ``PackPoseInputs``, in ``PoseDataPreprocessor`` and in the
estimator. ``rlepose_ext.PackImagePyramid`` and the two classes here stand in their places.
"""

from __future__ import annotations

from typing import Any

from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.models.pose_estimators import BottomupPoseEstimator
from mmpose.structures import PoseDataSample
from torch import Tensor

from rlepose_ext.registry import MODELS


@MODELS.register_module()
class PyramidDataPreprocessor(PoseDataPreprocessor):
    """``PoseDataPreprocessor`` for what ``PackImagePyramid`` packs, and for plain images."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise and stack the images of each scale.

        Args:
            data: N samples after ``pseudo_collate``; ``inputs`` holds for each scale the images of
                all samples.
            training: as in ``PoseDataPreprocessor``.

        Returns:
            ``inputs``, a tuple of tensors (N, 3, H, W), one for each scale; and ``data_samples``.
            Plain images give one such tensor, as in MMPose.
        """
        if isinstance(data['inputs'][0], Tensor):
            return super().forward(data, training)
        first, *others = data['inputs']
        inputs = [super().forward({**data, 'inputs': list(first)}, training)]
        for images in others:
            # the size of the input that samples note is that of scale 1
            scaled = {'inputs': list(images), 'data_samples': []}
            inputs.append(super().forward(scaled, training))
        return {**inputs[0], 'inputs': tuple(each['inputs'] for each in inputs)}


@MODELS.register_module()
class PyramidPoseEstimator(BottomupPoseEstimator):
    """``BottomupPoseEstimator`` that predicts from images of several sizes.

    Its arguments are MMPose's, with ``test_cfg=dict(multiscale_test=True)``.
    """

    def predict(
        self, inputs: Tensor | tuple[Tensor, ...], data_samples: list[PoseDataSample]
    ) -> list[PoseDataSample]:
        """Predict, as MMPose's; a list would have been stacked before it comes here.

        Args:
            inputs: images (N, 3, H, W), of each scale.
            data_samples: of the N images.
        """
        inputs = list(inputs) if isinstance(inputs, tuple) else inputs
        return super().predict(inputs, data_samples)
