"""Stretch a box onto the network's input, each axis by a factor of its own.

``TopdownAffine`` widens the box until it has the input's proportions. LIP's baseline does not:
every image, whatever its shape, fills 256 x 256. Narrow people become wide, and no pixel of the
input is spent on what lies outside of the image.

For a box of centre c and size s (image px) and an input of size S (input px)

    p_input = (p_image - c) / s * S + S / 2          on each axis by itself,

the inverse of which is what MMPose's estimators do with ``input_center``, ``input_scale`` and
``input_size`` after decoding. For a whole image of width w this is x_input = x_image * S / w. The
pixels are moved by the same map as the points, so that they agree to a fraction of a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.crops import stretched_crop, stretched_region
from rlepose_ext.geometry.spaces import image_to_input
from rlepose_ext.registry import TRANSFORMS


def stretched_box(box: np.ndarray | None, image_size: Sequence[int]) -> np.ndarray:
    """:func:`rlepose_ext.geometry.crops.stretched_region`, checked.

    Returns:
        Shape (2, 2), float32: centre and size, image px.

    Raises:
        UserError: the box has no area within the image.
    """
    center, size = stretched_region(box, image_size)
    if not (size > 0).all():
        raise UserError(
            f'StretchResize: box {np.ravel(box).tolist()} (x1, y1, x2, y2) has no area inside of '
            f'the image, {image_size[0]}x{image_size[1]} px. Correct the box of this annotation.'
        )
    return np.stack([center, size])


@TRANSFORMS.register_module()
class StretchResize(BaseTransform):
    """Stretch the person's box, or the whole image, onto the input; see the module.

    Takes the place of ``GetBBoxCenterScale`` and ``TopdownAffine``. ``RandomFlip`` may come
    before it, ``RandomBBoxTransform`` may not: a stretched box cannot be turned.

    Required keys: ``img``; used if there: ``bbox`` (1, 4), ``keypoints`` (1, K, 2).
    Added keys: ``transformed_keypoints`` in input px, ``input_size``, ``input_center``,
    ``input_scale``, ``bbox_center``, ``bbox_scale``. Modified: ``img``.

    Args:
        input_size: width and height of the input, px.

    Raises:
        UserError: a size that is none, a box without area, several boxes, or a rotation.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        super().__init__()
        if np.shape(input_size) != (2,) or not all(
            isinstance(side, (int, np.integer)) and side > 0 for side in input_size
        ):
            raise UserError(
                f'StretchResize: input_size is {input_size!r}, expected (width, height) in whole '
                "px, such as codec['input_size']."
            )
        self.input_size = tuple(int(side) for side in input_size)

    def transform(self, results: dict) -> dict:
        if results.get('bbox_rotation') is not None:
            raise UserError(
                'StretchResize: the box was rotated, by RandomBBoxTransform, which this transform '
                'cannot do. Take RandomBBoxTransform out, or use TopdownAffine.'
            )
        image, box = results['img'], results.get('bbox')
        if box is not None and np.shape(box) != (1, 4):
            raise UserError(
                f'StretchResize: bbox has shape {np.shape(box)}, expected (1, 4), one person. Use '
                "a top-down data set (data_mode='topdown')."
            )
        center, scale = stretched_box(box, image.shape[1::-1])
        results['img'] = stretched_crop(image, center, scale, self.input_size)
        if results.get('keypoints') is not None:
            results['transformed_keypoints'] = image_to_input(
                results['keypoints'], center, scale, self.input_size
            )
        else:  # a picture without labels, as TopdownAffine leaves it
            results['transformed_keypoints'] = np.zeros([])
            results['keypoints_visible'] = np.ones((1, 1, 1))
        results['bbox_center'], results['bbox_scale'] = center[None], scale[None]
        results['input_size'] = self.input_size
        results['input_center'], results['input_scale'] = center, scale
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(input_size={self.input_size})'
