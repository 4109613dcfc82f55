"""Labels as arrays with their images, split into a part to train on and one to validate."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.annotations.coco_file import DataError
from rlepose_ext.annotations.images import check_image_file, image_size
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.crops import AREA_OF_BOX
from rlepose_ext.own_data.labels import Item, Labels

# What OpenCV, which training reads with, takes.
_SUFFIXES = {'.avif', '.bmp', '.gif', '.jp2', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'}
_MARGIN = 0.1  # around the joints, in units of the longer side, where labels have no box
_VAL = 0.2
_FEWEST_SEQUENCES = 5


@dataclass
class Object:
    """One labelled object.

    Attributes:
        file: its image, relative to the folder of the data.
        size: width and height of the image in px.
        keypoints: (K, 3) x, y in image px, v.
        box: (4,) x, y, width, height in image px.
        part: ``'train'`` or ``'val'`` where the labels say so.
        label: name of its class, empty where the labels have none.
    """

    file: str
    size: tuple[int, int]
    keypoints: np.ndarray
    box: np.ndarray
    part: str | None = None
    label: str = ''


class Images:
    """The images below a folder, found under the names that labels give them.

    Args:
        folder: of the data.
        labels: file or folder of the labels; names may be relative to it as well.
        out: folder to leave out, which ``rlepose init`` writes.
    """

    def __init__(self, folder: Path, labels: Path, out: Path) -> None:
        self.folder, self.roots = folder, (folder, labels if labels.is_dir() else labels.parent)
        self._known: dict[str, tuple[str, tuple[int, int]]] = {}
        self._named: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob('*')):
            if path.suffix.lower() in _SUFFIXES and out not in path.parents:
                self._named[_key(path.name)].append(path)
                self._named[_key(path.stem)].append(path)

    def __call__(self, name: str) -> tuple[str, tuple[int, int]]:
        """File relative to the folder, and width and height in px.

        Raises:
            ValueError: there is none, several, or a broken one; the message is a clause.
        """
        if name not in self._known:
            path = self._find(name)
            try:
                check_image_file(str(path))
                size = image_size(path)
            except (DataError, OSError):
                raise ValueError('the image is empty, truncated or no image') from None
            self._known[name] = Path(os.path.relpath(path, self.folder)).as_posix(), size
        return self._known[name]

    def _find(self, name: str) -> Path:
        for root in self.roots:
            if (root / name).is_file():
                return root / name
        *folders, last = Path(name.replace('\\', '/')).parts or ('',)
        found = self._named.get(_key(last), [])
        for count in range(1, len(folders) + 1):  # of several, those in folders of these names
            wanted = [_key(folder) for folder in folders[-count:]]
            closer = [p for p in found if [*map(_key, p.parts[-1 - count : -1])] == wanted]
            found = closer or found
        found = [path for path in found if path.name == last] or found
        if len(found) != 1:
            raise ValueError(f'{len(found)} images of this name' if found else 'no such image')
        return found[0]


def _key(name: str) -> str:
    """Of a file, whatever the case and however accents are written, which macOS does apart."""
    return unicodedata.normalize('NFC', name).casefold()


def find_objects(labels: Labels, images: Images) -> tuple[list[Object], list[str], int]:
    """The objects that can be trained with.

    Returns:
        Them; what is wrong with others, each a clause; and the number of those that have too few
        labelled joints to be of use: none, or one without a box.

    Raises:
        UserError: coordinates are fractions of the image where px are expected.
    """
    objects, problems, bare, nowhere = [], list(labels.problems), 0, 0
    for item in labels.items:
        try:
            file, size = images(item.image)
            _check_size(labels.sizes.get(item.image, size), size)
            keypoints, left = _keypoints(item, labels.joints, size, labels.relative)
            box = _box(item, keypoints, size, labels.relative)
        except (ValueError, TypeError, OverflowError, OSError) as error:
            problems.append(f'{item.image}: {error}')
            continue
        nowhere += left
        if box is None:
            bare += 1
        else:
            part = labels.parts.get(item.image)
            objects.append(Object(file, size, keypoints, box, part, item.label))
    if nowhere:
        labels.notes.append(f'{nowhere} joints at exactly 0, 0 or -1, -1 are taken as not labelled')
    if not labels.relative and objects and all(o.keypoints[:, :2].max() <= 1 for o in objects):
        raise UserError(
            f'{labels.source}: no joint is more than 1 px away from the corner of its image, so '
            'these are fractions of width and height; expected px.'
        )
    return objects, list(dict.fromkeys(problems)), bare


def _check_size(labelled: tuple[int, int], size: tuple[int, int]) -> None:
    if labelled != size:
        (a, b), (width, height) = labelled, size
        raise ValueError(
            f'labelled at {a}x{b} px, but the file has {width}x{height}; use the images that were '
            'labelled, or remove the size from the labels if the joints are right'
        )


def _keypoints(
    item: Item, joints: Sequence[str], size: tuple[int, int], relative: bool
) -> tuple[np.ndarray, int]:
    """Places in px, (K, 3), and how many joints are nowhere though they count as labelled."""
    unknown = [name for name in item.joints if name not in joints]
    if unknown:
        raise ValueError(f'unknown joint {unknown[0]!r}')
    keypoints = np.array([item.joints.get(name, (0, 0, 0)) for name in joints], float)
    if not np.isin(keypoints[:, 2], (0, 1, 2)).all():
        raise ValueError('a visibility is none of 0, 1, 2')
    # What tools write for a joint that is not there, whatever they say of its visibility.
    x, y, v = keypoints.T
    nowhere = (x == y) & ((x == 0) | (x == -1)) & (v > 0)
    keypoints[nowhere | (v == 0)] = 0
    if relative:
        keypoints[:, :2] *= size
    inside = (np.abs(keypoints[:, :2] / size - 0.5) <= 1.5).all(axis=1)  # not of NaN
    if not inside.all():
        name, (x, y, _) = joints[inside.argmin()], keypoints[inside.argmin()]
        raise ValueError(
            f'the joint {name!r} at {x:g}, {y:g} is far out of the image of {size[0]}x{size[1]} px'
        )
    return keypoints, int(nowhere.sum())


def _box(
    item: Item, keypoints: np.ndarray, size: tuple[int, int], relative: bool
) -> np.ndarray | None:
    points = keypoints[keypoints[:, 2] > 0, :2]
    if not len(points):
        return None
    if item.box is not None and any(item.box):
        box = np.array(item.box, float).reshape(4) * ((*size, *size) if relative else 1)
        if not np.isfinite(box).all() or (box[2:] <= 0).any():
            raise ValueError(f'the box {list(item.box)} is not x, y, width, height above 0')
        if (box[:2] >= size).any() or (box[:2] + box[2:] <= 0).any():
            raise ValueError(
                f'the box {box.round(2).tolist()} is out of the image of {size[0]}x{size[1]} px'
            )
        return box
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * (high - low).max()
    if not margin > 0:
        return None
    low, high = (
        np.minimum(low, np.maximum(low - margin, 0)),
        np.maximum(high, np.minimum(high + margin, size)),
    )
    return np.hstack([low, high - low])


def split(objects: Sequence[Object], by_image: bool, seed: int) -> tuple[set[str], str]:
    """Choose the images to validate with: those that the labels say, or about a fifth.

    Neighbouring frames of a video are nearly the same picture, so a sequence goes into one part
    as a whole. Files of one sequence are called the same up to their last number.

    Args:
        objects: all.
        by_image: do not look for sequences.
        seed: of the choice.

    Returns:
        The files to validate with, and how they were chosen.
    """
    files = sorted({o.file for o in objects})
    given = {o.file for o in objects if o.part == 'val'}
    if given and len(given) < len(files):
        return given, 'as the labels have it'
    sequences = defaultdict(list)
    for file in files:
        sequences[re.sub(r'\d+(?=\D*$)', '', file)].append(file)
    how = f'split by the {len(sequences)} sequences that file names give'
    if by_image or not _FEWEST_SEQUENCES <= len(sequences) < len(files):
        sequences, how = {file: [file] for file in files}, 'split image by image'
    chosen: set[str] = set()
    for name in np.random.default_rng(seed).permutation(sorted(sequences)):
        if len(chosen) < max(1, round(_VAL * len(files))):
            chosen |= set(sequences[name])
    return chosen, how


def as_coco(objects: Sequence[Object], name: str, joints: Sequence[str]) -> dict[str, Any]:
    """A COCO keypoint file."""
    ids = {file: number for number, file in enumerate(dict.fromkeys(o.file for o in objects), 1)}
    sizes = {o.file: o.size for o in objects}
    images = [
        {'id': i, 'file_name': file, 'width': sizes[file][0], 'height': sizes[file][1]}
        for file, i in ids.items()
    ]
    annotations = [
        {
            'id': number,
            'image_id': ids[o.file],
            'category_id': 1,
            'iscrowd': 0,
            'bbox': o.box.round(2).tolist(),
            'area': round(AREA_OF_BOX * math.prod(o.box[2:].tolist()), 2),
            'keypoints': o.keypoints.round(2).ravel().tolist(),
            'num_keypoints': int((o.keypoints[:, 2] > 0).sum()),
        }
        for number, o in enumerate(objects, 1)
    ]
    categories = [{'id': 1, 'name': name, 'keypoints': list(joints)}]
    return {'images': images, 'annotations': annotations, 'categories': categories}
