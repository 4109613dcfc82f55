"""Predictions of all inputs of a folder in one COCO keypoint results file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.inference.finished import Known, damaged_outputs, read_records

_SHOWN = 5


@dataclass
class Merged:
    """What was joined.

    Attributes:
        path: the results file.
        images: the file that says which image an id is.
        inputs: number of images and videos.
        frames: number of images and frames.
        poses: number of persons.
        failed: inputs that could not be used, with the reason.
    """

    path: Path
    images: Path
    inputs: int = 0
    frames: int = 0
    poses: int = 0
    failed: tuple[str, ...] = ()


def merge(folder: Path, into: Path) -> Merged:
    """Join the predictions that ``rlepose demo`` saved.

    Inputs come in the order of their names. If all of them are images that are called after
    different numbers, as COCO's are, these are the ids. Otherwise ids count images and frames of
    videos from 1. ``track_id`` stays as it is: it counts within a video.

    Args:
        folder: of the predictions and the records of :mod:`.finished`.
        into: the results file. Beside it, ``<stem>_images.json`` has ``images`` with ``id``,
            ``file_name`` and, of a video, ``frame`` from 0.

    Raises:
        UserError: no record, inputs that are not done, or predictions that are missing or torn.
    """
    known = read_records(folder)
    _check_complete(folder, known)
    lines = [known.done[name] for name in sorted(known.done)]
    ids = _image_ids(lines)
    merged = Merged(into, into.with_name(f'{into.stem}_images.json'), inputs=len(lines))
    merged.failed = tuple(f'{each["path"]}: {each["error"]}' for each in known.failed.values())
    images = []
    for line, first in zip(lines, ids, strict=True):
        number = {'frame': 0} if line['kind'] != 'image' else {}
        for frame in range(line['frames']):
            if number:
                number['frame'] = frame
            images.append({'id': first + frame, 'file_name': line['path'], **number})
    merged.frames = len(images)

    def entries() -> Iterator[Any]:
        for line, first in zip(lines, ids, strict=True):
            for entry in _entries(folder, line):
                frame = entry['image_id'] if line['kind'] != 'image' else 0
                merged.poses += 1
                yield {**entry, 'image_id': first + frame}

    _write(merged.path, entries(), '[', ']')
    _write(merged.images, iter(images), '{"images": [', ']}')
    return merged


def _check_complete(folder: Path, known: Known) -> None:
    again = 'run `rlepose demo` again with --resume'
    if not known.shards:
        raise UserError(
            f'{folder} has no record of finished inputs: `rlepose demo ... --save-predictions '
            '--resume` writes one'
        )
    missing = sorted(known.expected - set(known.done) - set(known.failed))
    if missing:
        raise UserError(f'{folder}: not finished: {_some(missing)}; {again}')
    there = len(known.done) + len(known.failed)
    if there < known.total:
        count = max(shard.count for shard in known.shards)
        absent = set(range(1, count + 1)) - {s.number for s in known.shards if s.count == count}
        shards = _some([f'{number}/{count}' for number in sorted(absent)])
        raise UserError(
            f'{folder}: {known.total - there} of {known.total} inputs are not done; no record of '
            f'shard {shards}'
        )
    if not known.done:
        raise UserError(f'{folder}: none of the inputs could be used')
    damaged = [name for line in known.done.values() for name in damaged_outputs(folder, line)]
    if damaged:
        raise UserError(
            f'{folder}: missing, or not of the size they were written with: {_some(damaged)}; '
            f'{again}'
        )
    without = [name for name, line in known.done.items() if _predictions(line) is None]
    if without:
        raise UserError(f'{folder}: no predictions of {_some(without)}; {again} --save-predictions')


def _predictions(line: dict[str, Any]) -> str | None:
    return next((name for name in line['outputs'] if name.endswith('_coco.json')), None)


def _image_ids(lines: list[dict[str, Any]]) -> list[int]:
    """Id of each image, and of each video's first frame."""
    stems = [Path(line['path']).stem for line in lines]
    if all(line['kind'] == 'image' for line in lines) and all(
        stem.isascii() and stem.isdigit() for stem in stems
    ):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    ids, following = [], 1
    for line in lines:
        ids.append(following)
        following += line['frames']
    return ids


def _entries(folder: Path, line: dict[str, Any]) -> list[dict[str, Any]]:
    path = folder / str(_predictions(line))
    try:
        entries = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(entries, list) or not all('image_id' in entry for entry in entries):
            raise ValueError('no list of COCO results')
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f'{path} cannot be used: {error}. Remove it, and run `rlepose demo` again with --resume'
        ) from error
    return entries


def _write(path: Path, entries: Iterator[Any], before: str, after: str) -> None:
    """One entry a line, whole or not at all."""
    part = path.with_name(f'.{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open('w', encoding='utf-8') as file:
                file.write(before)
                for index, entry in enumerate(entries):
                    file.write((',\n' if index else '\n') + json.dumps(entry))
                file.write(f'\n{after}\n')
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror}') from error


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
