"""A contact sheet: many images of a COCO keypoint file on one page, with their skeletons."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path

import cv2
import numpy as np

from rlepose_ext.datasets.synthetic.skeleton import BONES, JOINTS
from rlepose_ext.errors import UserError

# BGR: the person's left, right, and the middle.
_LEFT, _RIGHT, _MIDDLE = (255, 144, 30), (40, 60, 255), (255, 255, 255)


def contact_sheet(
    json_path: str | Path, images: str | Path, out_png: str | Path, n: int = 24, tile: int = 320
) -> Path:
    """Draw the first ``n`` images of a COCO keypoint file with boxes and skeletons.

    Blue is the person's left, red the right; a filled disc is a visible joint (v = 2), a
    ring a covered one (v = 1).

    Args:
        json_path: COCO annotations with 17 joints.
        images: folder of the images.
        out_png: picture to write.
        n: number of images.
        tile: side of an image's square on the sheet in pixels.

    Returns:
        ``out_png``.

    Raises:
        UserError: an unreadable file or image, or a bad number.
    """
    if n < 1 or tile < 16:
        raise UserError(f'contact_sheet: n must be from 1 and tile from 16, not {n} and {tile}.')
    try:
        content = json.loads(Path(json_path).read_text(encoding='utf-8'))
        entries, annotations = content['images'][:n], content['annotations']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{json_path} is not a readable COCO file: {error!r}') from error
    columns = max(1, round(len(entries) ** 0.5 * 1.2))
    sheet = np.full((ceil(len(entries) / columns) * tile, columns * tile, 3), 32, np.uint8)
    for i, entry in enumerate(entries):
        path = Path(images) / entry['file_name']
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(f'{path} is missing or no image; it is listed in {json_path}.')
        scale = (tile - 4) / max(image.shape[:2])
        cell = cv2.resize(image, None, fx=scale, fy=scale)
        for person in annotations:
            if person['image_id'] == entry['id']:
                _draw(cell, person, scale)
        row, column = divmod(i, columns)
        sheet[row * tile :, column * tile :][: cell.shape[0], : cell.shape[1]] = cell
    out = Path(out_png)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), sheet):
        raise UserError(f'Cannot write the picture {out}.')
    return out


def _draw(image: np.ndarray, person: dict, scale: float) -> None:
    """Box, bones and joints of one person on an image enlarged by ``scale``."""
    x, y, width, height = person['bbox']
    corners = np.rint(np.array([x, y, x + width, y + height]) * scale).astype(int).tolist()
    cv2.rectangle(image, corners[:2], corners[2:], (90, 220, 90), 1)
    keypoints = np.array(person['keypoints'], dtype=float).reshape(-1, 3)
    if len(keypoints) != len(JOINTS):
        raise UserError(f'contact_sheet: expected {len(JOINTS)} joints, got {len(keypoints)}.')
    places = np.rint((keypoints[:, :2] + 0.5) * scale - 0.5).astype(int).tolist()
    for a, b in BONES:
        if keypoints[a, 2] > 0 and keypoints[b, 2] > 0:
            same = _colour(a) if _colour(a) == _colour(b) else _MIDDLE
            cv2.line(image, places[a], places[b], same, 1, cv2.LINE_AA)
    for j, place in enumerate(places):
        if keypoints[j, 2] > 0:
            filled = -1 if keypoints[j, 2] == 2 else 1
            cv2.circle(image, place, 3, _colour(j), filled, cv2.LINE_AA)


def _colour(joint: int) -> tuple[int, int, int]:
    return _MIDDLE if joint == 0 else _LEFT if joint % 2 else _RIGHT
