"""Writing COCO keypoint json, whole or not at all; shared by the converters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.annotations.images import check_images
from rlepose_ext.checkpoints.files import write_atomically
from rlepose_ext.errors import UserError

_SHOWN = 5


@dataclass
class Converted:
    """What a converter did.

    Attributes:
        files: json file to number of images and of annotations.
        left_out: what was wrong with entries that were left out, each a clause.
    """

    files: dict[Path, tuple[int, int]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def refuse(path: str | Path, problems: Sequence[str]) -> None:
    """Raise if there are problems.

    Raises:
        UserError: with their number and the first few.
    """
    if problems:
        more = f'; and {len(problems) - _SHOWN} more' if len(problems) > _SHOWN else ''
        raise UserError(
            f'{path}: {len(problems)} bad entries. {"; ".join(problems[:_SHOWN])}{more}. Correct '
            'them, or add --skip-bad to leave them out.'
        )


def image_sizes(
    folder: str | Path, names: Sequence[str]
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Sizes of images from the heads of their files, and what is wrong with the others.

    Returns:
        Name to (width, height) in px; and for the other images name to a clause.

    Raises:
        UserError: the folder does not exist.
    """
    if not Path(folder).is_dir():
        raise UserError(f'image folder {folder} does not exist (seen from {Path.cwd()}).')
    checked = check_images(folder, [(name, None) for name in names])
    problems = {name: f'image {Path(folder) / name} is missing' for name in checked.missing}
    for name, kind in checked.broken.items():
        problems[name] = f'image {Path(folder) / name} is broken ({kind})'
    return checked.sizes, problems


def annotate(joints: np.ndarray, rim: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """An object with the box around its labelled joints, without ids.

    Args:
        joints: (K, 3) x, y in image px, v; at least one of them labelled.
        rim: px between the joints and the box, for both axes or for each.
        size: width and height of the image in px; the box ends there.
    """
    points = joints[joints[:, 2] > 0, :2]
    start = np.maximum(points.min(axis=0) - rim, 0)
    end = np.minimum(points.max(axis=0) + rim, size)
    width, height = np.maximum(end - start, 0)
    return {
        'keypoints': joints.round(2).ravel().tolist(),
        'num_keypoints': len(points),
        'bbox': [*start.round(2).tolist(), round(width, 2), round(height, 2)],
        'area': round(width * height, 2),
        'iscrowd': 0,
    }


def write_json(path: str | Path, content: Any) -> None:
    """Write the whole file or nothing.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_atomically(json.dumps(content, separators=(',', ':')).encode(), path)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error}') from error


def write_coco(
    path: str | Path,
    names: Mapping[str, int],
    sizes: Mapping[str, tuple[int, int]],
    annotations: Sequence[dict[str, Any]],
    category: Mapping[str, Any],
) -> tuple[int, int]:
    """Write a file.

    Args:
        path: json to write.
        names: file name to image id.
        sizes: file name to (width, height) in px.
        annotations: of these images.
        category: the one category, without its id.

    Returns:
        Number of images and of annotations.

    Raises:
        UserError: it cannot be written.
    """
    used = {annotation['image_id'] for annotation in annotations}
    images = [
        {'id': number, 'file_name': name, 'width': sizes[name][0], 'height': sizes[name][1]}
        for name, number in names.items()
        if number in used
    ]
    content = {
        'images': images,
        'annotations': list(annotations),
        'categories': [{'id': 1, **category}],
    }
    write_json(path, content)
    return len(images), len(annotations)
