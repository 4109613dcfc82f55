"""A whole picture: background, people in front of one another, objects before them, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rlepose_ext.datasets.synthetic.appearance import Look, sample_look
from rlepose_ext.datasets.synthetic.background import draw_clutter, draw_occluder, sample_backdrop
from rlepose_ext.datasets.synthetic.camera import photograph, sample_exposure
from rlepose_ext.datasets.synthetic.canvas import Canvas
from rlepose_ext.datasets.synthetic.config import SyntheticPeopleConfig, as_config
from rlepose_ext.datasets.synthetic.poses import sample_build, sample_pose
from rlepose_ext.datasets.synthetic.render import (
    CHEST,
    FOOT,
    FOREARM,
    HAND,
    HEAD,
    PARTS,
    PELVIS,
    SHIN,
    THIGH,
    UPPER_ARM,
    Placement,
    draw_person,
    face_visible,
    part_id,
)
from rlepose_ext.datasets.synthetic.skeleton import Body, Build, pose_body

# Limb parts that meet at the shoulder, elbow, wrist, hip, knee and ankle.
_AT_JOINT = (
    (UPPER_ARM,), (UPPER_ARM, FOREARM), (FOREARM, HAND), (THIGH,), (THIGH, SHIN), (SHIN, FOOT),
)  # fmt: skip


Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class Figure:
    """A body with its proportions and place."""

    body: Body
    build: Build
    place: Placement


def draw_image(
    rng: np.random.Generator, config: SyntheticPeopleConfig | None = None
) -> tuple[np.ndarray, list[dict]]:
    """Draw one image with its labels; the result depends on the generator's state only.

    Args:
        rng: source of every random choice.
        config: what to draw; the defaults if absent.

    Returns:
        The image, (height, width, 3) uint8 BGR, and one COCO annotation per person without
        ids, in image pixels: ``keypoints`` (17 x, y, v; v = 2 visible, 1 covered by
        something, 0 outside the image or, in the face, turned away from the camera),
        ``num_keypoints``, ``bbox`` (x, y, width, height of the drawn body inside the
        image), ``area`` (pixels of the body's silhouette inside the image, counted before
        anything covers it, so that OKS does not depend on the occluders), ``segmentation``
        (the outer contour of that silhouette) and ``iscrowd``.
    """
    config = as_config(config)
    width = int(rng.integers(config.width[0], config.width[1] + 1))
    height = int(rng.integers(config.height[0], config.height[1] + 1))
    canvas = Canvas(width, height, sample_backdrop(rng))
    draw_clutter(rng, canvas, config.clutter)

    figures = _arrange(rng, config, width, height)
    people, extents = draw_figures(canvas, figures, [sample_look(rng) for _ in figures])
    for extent in extents:
        if rng.random() < config.occlusion:
            draw_occluder(rng, canvas, extent)
    label_figures(canvas, figures, people)
    image = photograph(rng, canvas.image(), sample_exposure(rng), config.noise)
    return image, [person for person in people if person['area'] > 0]


def draw_figures(
    canvas: Canvas, figures: Sequence[Figure], looks: Sequence[Look]
) -> tuple[list[dict], list[Extent]]:
    """Draw people, the farthest first.

    Returns:
        An annotation of each without keypoints (see :func:`draw_image`), and the extent of
        each: left, top, right, bottom in image px, which may lie outside the image.
    """
    people, extents = [], []
    for i, (figure, look) in enumerate(zip(figures, looks, strict=True)):
        base = 1 + i * PARTS
        extent = draw_person(canvas, figure.body, figure.build, look, figure.place, base)
        extents.append(extent)
        people.append(_outline(canvas.ids(), base, extent))
    return people, extents


def label_figures(canvas: Canvas, figures: Sequence[Figure], people: Sequence[dict]) -> None:
    """Add the keypoints to the annotations, once everything is drawn."""
    ids = canvas.ids()
    for i, (figure, person) in enumerate(zip(figures, people, strict=True)):
        keypoints = label_joints(ids, figure.body, figure.place, 1 + i * PARTS)
        person['keypoints'] = keypoints.reshape(-1).tolist()
        person['num_keypoints'] = int((keypoints[:, 2] > 0).sum())


def label_joints(ids: np.ndarray, body: Body, place: Placement, base: int) -> np.ndarray:
    """(17, 3) keypoints x, y, v of a person, given what is on top at each pixel.

    Args:
        ids: (height, width), see :class:`Canvas`.
        body: the drawn body.
        place: where it was drawn.
        base: id of its first part.
    """
    height, width = ids.shape
    keypoints = np.zeros((17, 3))
    positions = np.round(place.project(body.joints), 2)
    depths = body.joints[:, 2]
    centre = body.points['head'][2]
    radius = np.linalg.norm(body.joints[3] - body.joints[4]) / 1.9
    for j, (x, y) in enumerate(positions.tolist()):
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            continue
        if j < 5:
            depth = (depths[j] - centre) / radius
            if not face_visible(depth, nose=j == 0, ear=j >= 3):
                continue
            owners = [part_id(base, HEAD)]
        else:
            owners = _owners(body, base, j)
        on_top = int(ids[round(y), round(x)])
        keypoints[j] = x, y, 2 if on_top in owners else 1
    return keypoints


def _owners(body: Body, base: int, j: int) -> list[int]:
    """Ids of the parts that may lie on top at a visible joint ``j`` of the limbs."""
    row, side = divmod(j - 5, 2)
    owners = [part_id(base, part, side) for part in _AT_JOINT[row]]
    # The near shoulder and hip are seen through the clothes of the trunk; the far ones, in
    # a view from the side, are hidden behind it.
    left = body.joints[j - side], body.joints[j - side + 1]
    offset = body.joints[j] - (left[0] + left[1]) / 2
    if row in (0, 3) and offset[2] > -0.6 * np.linalg.norm(offset):
        owners.append(part_id(base, CHEST))
        if row == 3:
            owners.append(part_id(base, PELVIS))
    return owners


def _arrange(
    rng: np.random.Generator, config: SyntheticPeopleConfig, width: int, height: int
) -> list[Figure]:
    """Pose and place the people; the first is the farthest."""
    count = 1 + int(np.searchsorted(np.cumsum(config.persons[:-1]), rng.random(), side='right'))
    size = (0.6, 0.97) if count == 1 else (0.42, 0.75)
    figures: list[Figure] = []
    boxes: list[np.ndarray] = []
    for slot in range(count):
        build = sample_build(rng)
        body = pose_body(sample_pose(rng, config), build)
        points = np.concatenate([body.joints, np.array(list(body.points.values()))])
        # 0.06 body heights of flesh around the joints, a little more around the head.
        low, high = points.min(0) - 0.06, points.max(0) + 0.07
        span = high - low
        fit = min(height / max(span[1], 0.75), width / max(span[0], 0.3))
        scale = rng.uniform(*size) * fit
        reach = span[:2] * scale
        truncated = rng.random() < config.truncation
        for _ in range(4):
            free = np.array([width, height]) - reach
            corner = rng.random(2) * free
            if count > 1:
                corner[0] = (slot + rng.uniform(0.1, 0.9)) / count * width - reach[0] / 2
                corner = np.clip(corner, 0, np.maximum(free, 0))
            if truncated:
                axis, sign = int(rng.integers(2)), rng.random() < 0.5
                out = rng.uniform(0.05, 0.3) * reach[axis]
                corner[axis] = -out if sign else free[axis] + out
            box = np.concatenate([corner, corner + reach])
            if all(_overlap(box, other) < 0.45 for other in boxes):
                break
        boxes.append(box)
        place = Placement(corner[0] - low[0] * scale, corner[1] + high[1] * scale, float(scale))
        figures.append(Figure(body, build, place))
    return sorted(figures, key=lambda figure: figure.place.scale)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the smaller of two boxes that the other one covers."""
    inner = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inner / min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()))


def _outline(ids: np.ndarray, base: int, extent: Extent) -> dict:
    """Box, area and contour of the person drawn last, clipped to the image."""
    height, width = ids.shape
    left, top = max(extent[0], 0.0), max(extent[1], 0.0)
    right, bottom = min(extent[2], width - 1.0), min(extent[3], height - 1.0)
    if right < left or bottom < top:
        return {'bbox': [0.0] * 4, 'area': 0.0, 'segmentation': [], 'iscrowd': 0}
    x, y = int(left), int(top)
    window = ids[y : int(bottom) + 2, x : int(right) + 2]
    mask = cv2.inRange(np.ascontiguousarray(window), base, base + PARTS - 1)
    area = cv2.countNonZero(mask)
    contours = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y))[0]
    rings = [cv2.approxPolyDP(c, 0.8, True).reshape(-1) for c in contours]
    return {
        'bbox': [round(v, 2) for v in (left, top, right - left, bottom - top)],
        'area': float(area),
        'segmentation': [ring.tolist() for ring in rings if len(ring) >= 6],
        'iscrowd': 0,
    }
