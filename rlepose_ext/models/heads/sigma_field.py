"""Hand the estimated error on with the pose."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.structures import InstanceData
from torch import Tensor


def add_sigma(
    poses: Sequence[InstanceData], sigma: Tensor, input_size: Sequence[float]
) -> Sequence[InstanceData]:
    """Give each pose the field ``sigma``, (1, K, 2) in input px.

    MMPose's estimator takes ``keypoints`` on to image px and leaves other fields as they are;
    :class:`rlepose_ext.inference.PoseEstimator` takes sigma along.

    Args:
        poses: N decoded poses, changed in place.
        sigma: (N, K, 2) in crop sizes.
        input_size: width and height of the crop.

    Returns:
        ``poses``.
    """
    pixels = (sigma.detach().float() * sigma.new_tensor(list(input_size)).float()).cpu().numpy()
    for pose, values in zip(poses, pixels, strict=True):
        pose.set_field(values[None], 'sigma')
    return poses
