"""Boxes and pictures to what a network sees, in numpy and OpenCV alone, as test pipelines do it.

A crop shows a *region* of the image, given by centre c and size s (image px), in S input px. Both
kinds of region end in the map :func:`.spaces.image_to_input`,

    p_input = (p_image - c) / s * S + S / 2          on each axis by itself,

but for UDP, where the first and last pixel centres of the region fall on those of the crop (Huang
et al., *The Devil is in the Details*, CVPR 2020, arXiv 1911.07524): (S - 1) / s in place of S / s.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from rlepose_ext.geometry.spaces import image_to_input

# COCO's masks cover about this share of a person's box; stands for the area where only boxes are
# known, as in MMPose.
AREA_OF_BOX = 0.53


def box_around_joints(keypoints: np.ndarray, factor: float = 1.2) -> np.ndarray:
    """The box around the joints of a person, enlarged about its middle.

    Args:
        keypoints: (K, 2), px.
        factor: by which width and height are multiplied. An extent of 0 counts as 20 px.

    Returns:
        (4,) x1, y1, x2, y2, float32.
    """
    low, high = keypoints.min(0), keypoints.max(0)
    size = np.where(high > low, high - low, 20) * factor
    middle = (low + high) / 2
    return np.concatenate([middle - size / 2, middle + size / 2]).astype(np.float32)


def padded_region(
    box: np.ndarray, padding: float, input_size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The region around a box that has the proportions of the input.

    MMPose's ``GetBBoxCenterScale`` and the first half of its ``TopdownAffine``.

    Args:
        box: (4,) x1, y1, x2, y2, image px, float32.
        padding: by which width and height are multiplied.
        input_size: width and height of the crop, input px.

    Returns:
        Centre and size of the region, (2,) each, image px.
    """
    size = (box[2:] - box[:2]) * padding
    center = (box[2:] + box[:2]) * 0.5
    ratio = input_size[0] / input_size[1]
    width, height = size
    if width > height * ratio:
        size = np.array([width, width / ratio], size.dtype)
    else:
        size = np.array([height * ratio, height], size.dtype)
    return center, size


def fitted_region(
    image_size: Sequence[int], input_size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The region that has the whole picture in its middle and the proportions of the input.

    MMPose's ``BottomupResize`` of mode ``'fit'``.

    Args:
        image_size: width and height, px.
        input_size: width and height, input px.

    Returns:
        Centre and size of the region, (2,) each, image px, float32.
    """
    size = np.float64(image_size)
    factor = min(side / part for side, part in zip(input_size, size, strict=True))
    return (size / 2).astype(np.float32), (np.float64(input_size) / factor).astype(np.float32)


def expanded_region(
    image_size: Sequence[int], input_size: Sequence[int], multiple: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The region of a picture whose shorter side fills the input, and the size of that input.

    MMPose's ``BottomupResize`` of mode ``'expand'``: the longer side goes beyond ``input_size``.

    Args:
        image_size: width and height, px.
        input_size: width and height, input px.
        multiple: sides of the input are rounded up to multiples of it.

    Returns:
        Centre and size of the region, (2,) each, image px, float32; width and height of the input.
    """

    def ceiled(sides: Sequence[float]) -> np.ndarray:
        return (np.ceil(np.float64(sides) / multiple) * multiple).astype(int)

    width, height = ceiled(input_size)
    ratio = image_size[0] / image_size[1]
    shown = np.array([max(width, height * ratio), max(height, width / ratio)])
    size, padded = np.float64(image_size), ceiled(shown)
    return (size / 2).astype(np.float32), (size * padded / shown).astype(np.float32), padded


def padded_crop(
    image: np.ndarray,
    center: np.ndarray,
    size: np.ndarray,
    input_size: Sequence[int],
    use_udp: bool = False,
    fill: Sequence[int] = (0, 0, 0),
) -> np.ndarray:
    """Cut out a region, as the second half of MMPose's ``TopdownAffine``.

    Args:
        image: (H, W, 3) uint8.
        center: of the region, (2,) image px.
        size: of the region, (2,) image px.
        input_size: width w and height h of the crop, input px.
        use_udp: see the module.
        fill: colour outside of the picture, BGR.

    Returns:
        (h, w, 3) uint8.
    """
    width, height = input_size
    if use_udp:
        factors = [(side - 1) / part for side, part in zip(input_size, size, strict=True)]
        matrix = np.zeros((2, 3), np.float32)
        for axis, factor in enumerate(factors):
            matrix[axis, axis] = factor
            matrix[axis, 2] = factor * (-0.5 * (center[axis] * 2) + 0.5 * size[axis])
    else:
        # Three pairs of points, so that rounding is MMPose's to the last bit.
        middle, half = np.float64(center), 0.5 * np.float64(size[0])
        target, reach = np.array([width * 0.5, height * 0.5]), width * 0.5
        matrix = cv2.getAffineTransform(_corner(middle, half), _corner(target, reach))
    return cv2.warpAffine(
        image, matrix, (int(width), int(height)), flags=cv2.INTER_LINEAR, borderValue=tuple(fill)
    )


def _corner(middle: np.ndarray, reach: float) -> np.ndarray:
    """A point, one to its left, and one below that."""
    points = np.zeros((3, 2), np.float32)
    points[0] = middle
    points[1] = middle - [reach, 0]
    points[2] = points[1] + [0, points[0, 0] - points[1, 0]]
    return points


def stretched_region(
    box: np.ndarray | None, image_size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a box that lies in the image, whatever its proportions.

    MMPose cuts boxes at the last pixel's centre, w - 1 and h - 1. A side that reaches it is put
    back to the image's border, so that the box of a whole image is the whole image.

    Args:
        box: x1, y1, x2, y2 in image px, or None for the whole image.
        image_size: width and height, px.

    Returns:
        Centre and size of the region, (2,) each, image px, float32; a size of 0 or less where the
        box has no area within the image.
    """
    size = np.asarray(image_size, dtype=np.float64)
    low, high = (0 * size, size) if box is None else np.float64(box).reshape(2, 2)
    low = np.maximum(low, 0)
    high = np.where(high >= size - 1, size, high)
    return ((low + high) / 2).astype(np.float32), (high - low).astype(np.float32)


def stretched_crop(
    image: np.ndarray, center: np.ndarray, size: np.ndarray, input_size: Sequence[int]
) -> np.ndarray:
    """Stretch a region onto the input, each axis by a factor of its own.

    Args:
        image: (H, W, 3) uint8.
        center: of the region, (2,) image px.
        size: of the region, (2,) image px.
        input_size: width w and height h of the crop, input px.

    Returns:
        (h, w, 3) uint8.
    """
    corners = np.array([[0.0, 0.0], [1.0, 1.0]])
    origin, one = image_to_input(corners, center, size, input_size)
    matrix = np.column_stack([np.diag(one - origin), origin])
    # Within a pixel of the border the edge's colour goes on; black would darken it.
    return cv2.warpAffine(
        image,
        matrix,
        tuple(map(int, input_size)),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
