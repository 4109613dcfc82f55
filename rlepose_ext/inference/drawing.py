"""Boxes, skeletons, identities and error ellipses on an image, with OpenCV.

MMPose's visualizer draws through matplotlib unless told otherwise and blends the whole frame
once per joint; of a video that is most of the time. Here everything is drawn once and blended
once, over the part of the frame that has persons. Colours and order are the data set's.

Unless they are given in px, lines and joints grow with the picture, so that they are seen as well
on 4,000 px as on 640 px, and less with the person, whom they must not hide.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import cv2
import numpy as np

from rlepose_ext.calibration.repair import ellipses
from rlepose_ext.errors import UserError

# OpenCV takes coordinates as integers with this many fractional bits.
_SHIFT = 4
_UNIT = 1 << _SHIFT
# Beyond this drawing is invisible, and OpenCV's integers overflow.
_FAR = 1 << 20
_LARGEST_PEN = 1000
_BOX_COLOR = (0, 200, 0)
_JOINT_COLOR = (255, 128, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# A link is as thick as the geometric mean of the picture's and the person's longer side over the
# first number, but at most a part of the person; a joint is a bit larger. By looking at pictures.
_LINK_SHARE, _LINK_OF_PERSON = 155, 40
_JOINT_PER_LINK, _JOINT_OF_PERSON = 1.2, 45
# px of OpenCV's letters at scale 1, and the smallest scale that can be read.
_LETTER, _SMALLEST_TEXT = 22, 0.4


class Persons(Protocol):
    """What is drawn: those fields of :class:`rlepose_ext.inference.types.PoseResult`."""

    boxes: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    sigma: np.ndarray | None
    covariance_px: np.ndarray | None
    ellipse_95: np.ndarray | None
    track_id: np.ndarray | None
    meta: Mapping[str, Any]

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Style:
    """How persons are drawn.

    Attributes:
        kpt_thr: joints with a lower score are left out, and links to them.
        draw_bbox: boxes, with the identity if there is one.
        draw_sigma: an ellipse around each joint, where the model estimates sigma: that of 95 %
            if it is calibrated, else two standard deviations of its error, or sigma itself if the
            flow is not there.
        show_kpt_idx: the number of each joint beside it.
        radius: of joints, px; by default it follows the sizes of picture and person.
        thickness: of links, px; likewise.
        alpha: opacity of what is drawn, 0 to 1.
    """

    kpt_thr: float = 0.3
    draw_bbox: bool = True
    draw_sigma: bool = False
    show_kpt_idx: bool = False
    radius: float | None = None
    thickness: int | None = None
    alpha: float = 0.8

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UserError(f'alpha: expected 0 to 1, got {self.alpha}')
        for name in ('radius', 'thickness'):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= _LARGEST_PEN:
                raise UserError(f'{name}: expected 1 to {_LARGEST_PEN} px, got {value}')


@dataclass(frozen=True)
class Pen:
    """Sizes of what is drawn of one person, px.

    Attributes:
        radius: of joints.
        thickness: of links.
        line: thickness of boxes, ellipses and letters.
        text: OpenCV's scale of letters.
    """

    radius: float
    thickness: int
    line: int
    text: float

    @property
    def letter(self) -> int:
        """Height of a letter."""
        return round(_LETTER * self.text)


def pens(shape: tuple[int, ...], boxes: np.ndarray, style: Style) -> list[Pen]:
    """How each person is drawn.

    Args:
        shape: height and width of the picture, px.
        boxes: (N, 4) of the persons, x1, y1, x2, y2 in image px.
        style: sizes in px there are kept.
    """
    longer = max(shape[:2])
    sides = (boxes[:, 2:].astype(np.float64) - boxes[:, :2]).max(1)
    sides = np.clip(np.nan_to_num(sides, nan=longer, posinf=longer, neginf=longer), 1, longer)
    found = []
    for side in sides.tolist():
        link = min(math.sqrt(longer * side) / _LINK_SHARE, max(side / _LINK_OF_PERSON, 1.0))
        radius = max(min(_JOINT_PER_LINK * link, side / _JOINT_OF_PERSON), 1.0)
        found.append(
            Pen(
                radius=radius if style.radius is None else style.radius,
                thickness=max(round(link), 1) if style.thickness is None else int(style.thickness),
                line=max(round(0.4 * link), 1),
                text=max(0.2 * link, _SMALLEST_TEXT),
            )
        )
    return found


STYLE_FIELDS = tuple(field.name for field in fields(Style))


def draw_poses(image: np.ndarray, poses: Persons, style: Style | None = None) -> np.ndarray:
    """Draw all persons.

    Args:
        image: (H, W, 3) uint8 BGR, changed in place.
        poses: in px of this image; without persons the image is unchanged.
        style: see :class:`Style`.

    Returns:
        ``image``.
    """
    style = style or Style()
    if not len(poses):
        return image
    tools = pens(image.shape, poses.boxes, style)
    found = _ellipses(poses) if style.draw_sigma else None
    left, top, right, bottom = _touched(image, poses, style, tools, found)
    if left >= right or top >= bottom:
        return image
    part = image[top:bottom, left:right]
    layer = part.copy() if style.alpha < 1 else part
    colors = _colors(poses.meta, poses.keypoints.shape[1])
    offset = np.array([left, top], np.float64)
    for index in range(len(poses)):
        around = None if found is None else found[index]
        _draw_person(layer, poses, index, offset, colors, style, tools[index], around)
    if style.alpha < 1:
        cv2.addWeighted(layer, style.alpha, part, 1 - style.alpha, 0, dst=part)
    return image


def person_color(identity: int) -> tuple[int, int, int]:
    """A colour of an identity, BGR: neighbours in number are far apart on the wheel."""
    hue = (identity * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return int(255 * blue), int(255 * green), int(255 * red)


def _draw_person(
    layer: np.ndarray,
    poses: Persons,
    index: int,
    offset: np.ndarray,
    colors: tuple[list, list, list],
    style: Style,
    pen: Pen,
    around: np.ndarray | None,
) -> None:
    points = poses.keypoints[index].astype(np.float64) - offset
    seen = (poses.scores[index] >= style.kpt_thr) & np.isfinite(points).all(1)
    joint_colors, links, link_colors = colors
    if style.draw_bbox:
        _draw_box(layer, poses, index, offset, pen)
    centers = _fixed(points)
    if around is not None:
        for joint in np.flatnonzero(seen):
            _ellipse(layer, centers[joint], around[joint], joint_colors[joint], pen.line)
    for (a, b), color in zip(links, link_colors, strict=True):
        if seen[a] and seen[b]:
            cv2.line(layer, centers[a], centers[b], color, pen.thickness, cv2.LINE_AA, _SHIFT)
    radius = round(pen.radius * _UNIT)
    for joint in np.flatnonzero(seen):
        center, color = centers[joint], joint_colors[joint]
        cv2.circle(layer, center, radius, color, -1, cv2.LINE_AA, _SHIFT)
        if style.show_kpt_idx:
            corner = ((center[0] + radius) // _UNIT, (center[1] - radius) // _UNIT)
            cv2.putText(layer, str(joint), corner, _FONT, pen.text, color, pen.line, cv2.LINE_AA)


def _draw_box(layer: np.ndarray, poses: Persons, index: int, offset: np.ndarray, pen: Pen) -> None:
    corners = poses.boxes[index].astype(np.float64).reshape(2, 2) - offset
    first, second = _fixed(corners)
    identity = None if poses.track_id is None else int(poses.track_id[index])
    color = _BOX_COLOR if identity is None or identity < 0 else person_color(identity)
    cv2.rectangle(layer, first, second, color, pen.line, cv2.LINE_AA, _SHIFT)
    if identity is not None and identity >= 0:
        _write_label(layer, str(identity), (first[0] // _UNIT, first[1] // _UNIT), color, pen)


def _write_label(
    layer: np.ndarray,
    text: str,
    corner: tuple[int, int],
    color: tuple[int, int, int],
    pen: Pen,
) -> None:
    """Dark letters on a field of that colour, whose upper left corner is given."""
    (width, height), below = cv2.getTextSize(text, _FONT, pen.text, pen.line)
    gap = 1 + pen.line
    end = (corner[0] + width + 2 * gap, corner[1] + height + below)
    cv2.rectangle(layer, corner, end, color, -1)
    place = (corner[0] + gap, corner[1] + height + below // 2)
    cv2.putText(layer, text, place, _FONT, pen.text, (0, 0, 0), pen.line, cv2.LINE_AA)


def _ellipses(poses: Persons) -> np.ndarray | None:
    """(N, K, 3) half axes in px and angles in degrees."""
    if poses.sigma is None:
        return None
    if poses.covariance_px is None:
        return np.insert(poses.sigma, 2, 0, axis=-1)
    two = ellipses(poses.covariance_px, 2.0)
    calibrated = poses.ellipse_95
    return two if calibrated is None else np.where(np.isnan(calibrated), two, calibrated)


def _ellipse(
    layer: np.ndarray,
    center: tuple[int, int],
    ellipse: np.ndarray,
    color: tuple[int, int, int],
    line: int,
) -> None:
    if not np.isfinite(ellipse).all():
        return
    half = tuple(int(v) for v in np.clip(ellipse[:2] * _UNIT, 1, _FAR))
    cv2.ellipse(layer, center, half, ellipse[2], 0, 360, color, line, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> list[tuple[int, int]]:
    """Points (M, 2) in OpenCV's fixed-point numbers; no number becomes 0."""
    places = np.clip(np.nan_to_num(np.round(points * _UNIT)), -_FAR, _FAR)
    return [(x, y) for x, y in places.astype(int).tolist()]


def _touched(
    image: np.ndarray,
    poses: Persons,
    style: Style,
    tools: list[Pen],
    found: np.ndarray | None,
) -> tuple[int, int, int, int]:
    """The part of the image that drawing may touch: left, top, right, bottom."""
    height, width = image.shape[:2]
    seen = poses.scores >= style.kpt_thr
    points = [poses.keypoints[seen]]
    if style.draw_bbox:
        points.append(poses.boxes.reshape(-1, 2))
    if found is not None:
        half = np.nan_to_num(found[seen][:, :2].max(1, keepdims=True), posinf=0, neginf=0)
        points += [poses.keypoints[seen] - half, poses.keypoints[seen] + half]
    every = np.concatenate(points)
    every = every[np.isfinite(every).all(1)]
    if not len(every):
        return 0, 0, 0, 0
    # Room for what sticks out: joints, lines, numbers beside joints.
    room = 2 + max(math.ceil(pen.radius) + pen.thickness + pen.line for pen in tools)
    if style.show_kpt_idx or style.draw_bbox:
        # Four digits: an identity, or the number of a joint.
        room += max(4 * pen.letter for pen in tools)
    low = np.clip(np.floor(every.min(0)) - room, 0, [width, height]).astype(int)
    high = np.clip(np.ceil(every.max(0)) + room + 1, 0, [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _colors(meta: Mapping[str, Any], num_keypoints: int) -> tuple[list, list, list]:
    """BGR of joints, pairs of joints, BGR of pairs; the data set's colours are RGB."""

    def bgr(colors: Any, number: int) -> list[tuple[int, int, int]]:
        if colors is None or len(colors) != number:
            return [_JOINT_COLOR] * number
        return [tuple(int(v) for v in reversed(list(color))) for color in colors]

    links = [tuple(link) for link in meta.get('skeleton_links', ())]
    joints = bgr(meta.get('keypoint_colors'), num_keypoints)
    return joints, links, bgr(meta.get('skeleton_link_colors'), len(links))
