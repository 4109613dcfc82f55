"""Take the colour out of an image: what is left is what an infra-red camera would give.

Luma of ITU-R BT.601, with R, G and B as they are stored (not linearised):

    Y = 0.299 R + 0.587 G + 0.114 B

Images are BGR here, as OpenCV and MMPose's ``LoadImage`` have them: channel 0 is blue.
"""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from rlepose_ext.errors import UserError
from rlepose_ext.registry import TRANSFORMS

LUMA = (0.299, 0.587, 0.114)  # R, G, B


def to_gray(image: np.ndarray, num_output_channels: int = 3) -> np.ndarray:
    """Luma of an image, in one channel or repeated in three.

    Args:
        image: (H, W, 3), BGR, of type uint8, uint16 or float32; or greyscale already,
            (H, W) or (H, W, 1), which is only repeated.
        num_output_channels: 1 or 3.

    Returns:
        (H, W, num_output_channels) of the same type. Whole numbers are rounded.

    Raises:
        UserError: the image has another number of channels.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise UserError(
            f'ToGray: expected an image (H, W, 3) in BGR or (H, W, 1), got shape {image.shape}. '
            "An image with transparency loads as BGR with LoadImage(color_type='color')."
        )
    if image.shape[2] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    return np.repeat(image, num_output_channels, axis=2)


@TRANSFORMS.register_module()
class ToGray(BaseTransform):
    """Replace ``img`` by its luma; keypoints stay as they are.

    Put it after ``TopdownAffine``, where there are fewest pixels, and after transforms that
    change colours. With one channel the data preprocessor needs ``mean`` and ``std`` of
    length 1 and ``bgr_to_rgb=False``, and the backbone ``in_channels=1``. With three equal
    channels any RGB model runs as it is; ``bgr_to_rgb`` then makes no difference.

    Required and modified key: ``img``, BGR.

    Args:
        num_output_channels: 1 or 3.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, num_output_channels: int = 3) -> None:
        super().__init__()
        if num_output_channels not in (1, 3):
            raise ValueError(f'num_output_channels must be 1 or 3, got {num_output_channels}')
        self.num_output_channels = num_output_channels

    def transform(self, results: dict) -> dict:
        results['img'] = to_gray(results['img'], self.num_output_channels)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_output_channels={self.num_output_channels})'
