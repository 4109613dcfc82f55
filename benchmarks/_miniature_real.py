"""Real pictures for the miniature data sets, from ``RLEPOSE_SHARED``, where there are some.

MMPose's own test images (COCO, AIC, CrowdPose, WFLW, COFW, MPII) and a few of LSP and faces68
are copied to where a config looks for its data. What is left is drawn by
:func:`_miniature_data.draw`.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _miniature_data import (
    NUMBER,
    Wanted,
    detection,
    is_image_info,
    wanted,
    write,
    write_head_boxes,
)
from mmengine.config import Config

# Persons of a validation; the detector has found many more.
MOST = 8
SAMPLES = 'mmpose_samples'


def copy_real(config: Config, root: Path, shared: Path) -> list[str]:
    """Copy the samples that a config can use.

    Args:
        config: as loaded with ``RLEPOSE_DATA`` set to ``root``.
        root: the data root.
        shared: the folder with ``data/``.

    Returns:
        Folders below the data root that have real pictures now, such as ``'coco'``.
    """
    found = set()
    for data in wanted(config, root):
        folder = data.annotations.relative_to(root).parts[0]
        source = _source(shared / 'data', folder, data)
        if source is not None:
            found.add(folder)
            if not data.annotations.exists() or not (data.boxes is None or data.boxes.exists()):
                _copy(source, data)
    return sorted(found)


def _source(folder: Path, name: str, data: Wanted) -> Path | None:
    """The annotation file of the samples; their pictures lie beside or in ``images/``."""
    paths = (folder / SAMPLES / name / f'test_{name}.json', folder / name / data.annotations.name)
    return next((path for path in paths if path.is_file()), None)


def _copy(source: Path, data: Wanted) -> None:
    pictures = source.parent if source.parent.parent.name == SAMPLES else source.parent / 'images'
    content = json.loads(source.read_text())
    if isinstance(content, list):  # MPII
        names, persons = [one['image'] for one in content], len(content)
        boxes = []
    else:
        content = a_few(content, held_out=data.held_out)
        names = [image['file_name'] for image in content['images']]
        persons = len(content['annotations'])
        boxes = _boxes(source.parent, content)
        if is_image_info(data.annotations):
            del content['annotations']
    data.images.mkdir(parents=True, exist_ok=True)
    for name in set(names):
        shutil.copyfile(pictures / name, data.images / name)
    if data.boxes is not None:
        write(data.boxes, boxes)
    if data.head_boxes is not None:
        write_head_boxes(data.head_boxes, persons)
    write(data.annotations, content)


def a_few(content: Mapping[str, Any], held_out: bool) -> dict[str, Any]:
    """A COCO keypoint file of a few pictures with labelled persons.

    Args:
        content: the whole file.
        held_out: for a validation, which wants at most eight persons; a training set wants at
            least four persons and four pictures, some of them twice if there are fewer.
    """
    persons = [one for one in content['annotations'] if any(one['keypoints'][2::3])]
    images = {image['id']: image for image in content['images']}
    kept = list(dict.fromkeys(one['image_id'] for one in persons))[:NUMBER]
    persons = [one for one in persons if one['image_id'] in kept]
    if held_out:
        persons = persons[:MOST]
        kept = list(dict.fromkeys(one['image_id'] for one in persons))
    chosen = [images[number] for number in kept]
    if not held_out:
        chosen, persons = _at_least(NUMBER, chosen, persons)
    return {**content, 'images': chosen, 'annotations': persons}


def _at_least(
    number: int, images: Sequence[dict], persons: Sequence[dict]
) -> tuple[list[dict], list[dict]]:
    """The same pictures again, under other numbers, until there are enough."""
    next_image = 1 + max(image['id'] for image in images)
    next_person = 1 + max(one['id'] for one in persons)
    more_images, more_persons = [], []
    for turn in range(math.ceil(number / min(len(images), len(persons)))):
        shift = turn * next_image
        more_images += [{**image, 'id': image['id'] + shift} for image in images]
        for one in persons:
            moved = {'id': one['id'] + turn * next_person, 'image_id': one['image_id'] + shift}
            more_persons.append({**one, **moved})
    return more_images, more_persons


def _boxes(folder: Path, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Boxes of a detector where the samples have some, the surest first; else the true ones."""
    for path in folder.glob('*_det_*.json'):
        numbers = {image['id'] for image in content['images']}
        boxes = [box for box in json.loads(path.read_text()) if box['image_id'] in numbers]
        return sorted(boxes, key=lambda box: -box['score'])[:MOST]
    return [detection(one) for one in content['annotations']]
