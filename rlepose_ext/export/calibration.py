"""Crops of real persons, from which the ranges of an 8-bit model are taken."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import as_boxes, find_boxes
from rlepose_ext.inference.choose import build_detector, caution_of, first_detector
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.images import SUFFIXES, read_image

MOST = 256
# Of this many pictures of a folder persons are looked for.
MOST_PICTURES = 512


def calibration_crops(
    estimator: PoseEstimator, source: str | Path, number: int = MOST
) -> np.ndarray:
    """Crops of up to ``number`` persons, spread over all that there are.

    Args:
        estimator: of the model; it makes the crops.
        source: a folder of pictures, in which the detector that ``rlepose demo`` would take finds
            the persons; or COCO annotations, whose pictures lie beside the file, in ``images/``
            beside it, or in a folder beside its own.
        number: of crops.

    Returns:
        (N, h, w, C) uint8.

    Raises:
        UserError: nothing is there, it cannot be read, or there is no person.
    """
    if not str(source) or not Path(source).exists():
        raise UserError(f'--calibrate {str(source)!r}: no such folder or file')
    source = Path(source)
    if source.is_dir():
        if caution := caution_of(estimator.meta):
            warnings.warn(f'{source}: {caution}', stacklevel=2)
        found = list(_detected(source))
    elif source.suffix == '.json':
        found = list(_annotated(source))
    else:
        raise UserError(
            f'{source}: expected a folder of pictures or COCO annotations (.json) to calibrate with'
        )
    persons = [(path, box) for path, boxes in found for box in boxes]
    if not persons:
        raise UserError(
            f'{source}: there is no person in it. The ranges of an 8-bit model are taken from '
            f'crops of persons such as it will see; up to {MOST} are taken.'
        )
    chosen = np.linspace(0, len(persons) - 1, min(number, len(persons))).astype(int)
    pixels, image, last = [], None, None
    for path, box in (persons[index] for index in chosen):
        if path != last:
            image, last = read_image(path), path
        pixels.append(estimator.crop(image, as_boxes(box, f'{path}: box')).pixels[0])
    return np.stack(pixels)


def _annotated(path: Path) -> Iterator[tuple[Path, np.ndarray]]:
    from rlepose_ext.inference.annotated import read_annotated

    images = read_annotated(path, '')
    places = [path.parent, path.parent / 'images', path.parent.parent]
    if images:
        name = images[0].path
        folders = [place for place in places if (place / name).is_file()]
        if not folders:
            # COCO: annotations/person_keypoints_val2017.json and val2017/
            folders = [
                place for place in sorted(path.parent.parent.glob('*/')) if (place / name).is_file()
            ]
        if not folders:
            raise UserError(
                f'{path}: its pictures are not beside it; looked for {name} in '
                f'{", ".join(map(str, places))} and in the folders of {path.parent.parent}'
            )
        for image in images:
            yield folders[0] / image.path, image.boxes


def _detected(folder: Path) -> Iterator[tuple[Path, np.ndarray]]:
    pictures = sorted(p for p in folder.rglob('*') if p.suffix.lower() in SUFFIXES)
    if not pictures:
        raise UserError(f'{folder}: there is no picture in it')
    step = -(-len(pictures) // MOST_PICTURES)
    detector = build_detector([first_detector([])], 'cpu')
    for path in pictures[::step]:
        ((boxes, _),) = find_boxes(detector, [read_image(path)], [str(path)])
        yield path, boxes
