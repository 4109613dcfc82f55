"""MPII as MMPose publishes it, a JSON list of persons, in COCO's form.

A person has ``image``, ``center`` in px, ``scale``, 16 ``joints`` in px, and ``joints_vis``, each
0 or 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.compat._data_errors import DataError

# The scale is the person's height in units of this many px.
_PIXELS = 200.0


def is_mpii(entry: Any) -> bool:
    """Whether it is one person of such a list."""
    return isinstance(entry, dict) and {'image', 'center', 'scale'} <= set(entry)


def as_coco(content: list, path: str | Path) -> dict[str, list[dict]]:
    """The list in COCO's form.

    Args:
        content: of the file.
        path: the file, for messages.

    Returns:
        ``images`` and ``annotations``; an annotation's id is its place in the list.

    Raises:
        DataError: naming the first entry that is not as MMPose publishes it.
    """
    annotations = []
    for number, entry in enumerate(content):
        try:
            annotations.append({'id': number, **_person(entry)})
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f'entry {number} of {path} is not as MMPose publishes MPII '
                f'({type(error).__name__}: {error}). Expected image, center, scale, joints and '
                'joints_vis.'
            ) from error
    names = dict.fromkeys(ann['image_id'] for ann in annotations)
    images = [{'id': name, 'file_name': name} for name in names]
    return {'images': images, 'annotations': annotations}


def _person(entry: dict) -> dict[str, Any]:
    """One annotation without its id; in the test set it has no joints."""
    person: dict[str, Any] = {'image_id': str(entry['image'])}
    if 'joints' in entry:
        xy = np.array(entry['joints'], float).reshape(-1, 2)
        flags = np.array(entry['joints_vis'], float).reshape(len(xy), 1)
        person['keypoints'] = np.hstack([xy, 2.0 * (flags > 0)]).ravel().tolist()
        side = float(entry['scale']) * _PIXELS
        x, y = map(float, entry['center'])
        person['bbox'] = [x - side / 2, y - side / 2, side, side]
    return person
