"""Pack an image in several sizes, for a test at several scales."""

from __future__ import annotations

from typing import Any

from mmpose.datasets.transforms import PackPoseInputs
from mmpose.datasets.transforms.formatting import image_to_tensor

from rlepose_ext.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackImagePyramid(PackPoseInputs):
    """``PackPoseInputs`` after ``BottomupResize(aug_scales=...)``.

    MMPose stacks the images, which have different sizes. Here ``inputs`` is a list of tensors
    (3, H, W), that of scale 1 first. What else it takes:
    :mod:`rlepose_ext.models.estimators.image_pyramid`.

    Args:
        meta_keys: as in ``PackPoseInputs``; ``aug_scales`` comes to them.
        pack_transformed: as in ``PackPoseInputs``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meta_keys = (*self.meta_keys, 'aug_scales')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        images = results['img']
        packed = super().transform({**results, 'img': images[0]})
        packed['inputs'] = [image_to_tensor(image) for image in images]
        return packed
