"""Labels of YOLO's pose models: ``data.yaml``, and a text file for each image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.own_data.labels import Item, Labels

EXPECTED = (
    'a data.yaml with kpt_shape: [K, 2 or 3], train and val, and text files with class, x, y, '
    'width, height and the joints of one object a line'
)


def read_yolo(path: Path) -> Labels:
    """Read a ``data.yaml`` and the text files of the parts that it names."""
    import yaml

    info = yaml.safe_load(path.read_text(encoding='utf-8-sig'))
    for key in ('kpt_shape', 'train'):
        if not isinstance(info, dict) or not info.get(key):
            raise UserError(f'{path} has no {key}, expected {EXPECTED}.')
    shape = info['kpt_shape']
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int for n in shape):
        raise UserError(f'{path} has kpt_shape {shape}, expected [K, 2 or 3].')
    count, width = shape
    joints = _joints(info.get('kpt_names') or [f'joint_{k}' for k in range(count)], path)
    if len(joints) != count or width not in (2, 3):
        raise UserError(
            f'{path} has kpt_shape {[count, width]} and {len(joints)} names, expected [K, 2 or 3] '
            'and K names; correct kpt_shape or kpt_names.'
        )
    labels = Labels(path, 'yolo', joints=joints, relative=True)
    swapped = info.get('flip_idx') or list(range(count))
    partners = dict(enumerate(swapped))
    if [partners.get(b) for b in swapped] != list(range(count)):
        raise UserError(
            f'{path} has flip_idx {swapped}, expected the partner of each joint 0 to {count - 1}, '
            'or itself; correct or remove it.'
        )
    labels.pairs = [(joints[a], joints[b]) for a, b in enumerate(swapped) if a < b]
    classes = info.get('names') or {}
    classes = classes if isinstance(classes, dict) else dict(enumerate(classes))
    for file, (image, part) in _text_files(labels, info).items():
        labels.parts[image] = part
        for number, line in enumerate(_text(file).splitlines(), 1):
            if line.strip():
                _add_line(labels, image, line, width, classes, f'line {number} of {file}')
    return labels


def _joints(names: Any, path: Path) -> list[str]:
    """Names from a list, a list for each class, or a name for each number."""
    by_class = [names[key] for key in sorted(names)] if isinstance(names, dict) else [names]
    if isinstance(by_class[0], str):
        return by_class
    if any(others != by_class[0] for others in by_class):
        raise UserError(
            f'{path} has other kpt_names for one class than for another, expected the same for '
            'all; make a data.yaml, with labels of its own, for each class.'
        )
    return [str(name) for name in by_class[0]]


def _text_files(labels: Labels, info: dict[str, Any]) -> dict[Path, tuple[str, str]]:
    """Text files that are not empty, each with its image and part."""
    home = labels.source.parent.resolve()
    root = next(p for p in (home / str(info.get('path') or ''), home) if p.is_dir())
    found = {}
    for part, entry in (('train', info['train']), ('val', info.get('val', info.get('validation')))):
        if not entry:
            continue
        places = [_place(root, str(e)) for e in ([entry] if isinstance(entry, str) else entry)]
        gone = [place for place in places if not _is_there(place)]
        files = {
            file: (image, part)
            for place in places
            for image, file in _of_place(labels, root, place)
            if _text(file).strip()
        }
        if gone or not files:
            where = ', '.join(str(p if p.is_file() else _labels_of(p)) for p in gone or places)
            raise UserError(
                f'{labels.source}: {part}: {entry} gives no labels, looked in {where}. Expected a '
                'folder of images, with text files in a folder labels in place of images, or a '
                f'text file that lists images; correct {part} or path.'
            )
        found |= files
    return found


def _text(file: Path) -> str:
    return file.read_text(encoding='utf-8-sig')  # with the mark that Notepad puts first


def _place(root: Path, entry: str) -> Path:
    """A folder or list of images; like ultralytics, without ``../`` where that leads nowhere."""
    shorter = root / entry.removeprefix('../')  # Roboflow's folders lie beside data.yaml
    return shorter if not _is_there(root / entry) and _is_there(shorter) else root / entry


def _is_there(place: Path) -> bool:
    return place.exists() or _labels_of(place).exists()


def _labels_of(images: Path) -> Path:
    """The same path in ``labels`` in place of the last ``images``."""
    parts = list(images.parts)
    if 'images' in parts:
        parts[-1 - parts[::-1].index('images')] = 'labels'
    return Path(*parts)


def _of_place(labels: Labels, root: Path, place: Path) -> Iterator[tuple[str, Path]]:
    """Images and their text files; images without one have no object."""
    if not place.is_file():
        texts = _labels_of(place)
        for file in sorted(texts.rglob('*.txt')):
            yield str((place / file.relative_to(texts)).with_suffix('')), file
        return
    for line in filter(None, map(str.strip, _text(place).splitlines())):
        image = next((p for p in (place.parent / line, root / line) if p.is_file()), None)
        if image is None:
            labels.problems.append(f'{line} of {place} is no file')
        elif (file := _labels_of(image).with_suffix('.txt')).is_file():
            yield str(image), file


def _add_line(
    labels: Labels, image: str, line: str, width: int, classes: dict[Any, Any], where: str
) -> None:
    try:
        kind, x, y, w, h, *rest = map(float, line.split())
        label = str(classes.get(int(kind), f'class {int(kind)}'))
    except (ValueError, OverflowError):
        labels.problems.append(f'{where} is not class, x, y, width, height and joints')
        return
    if len(rest) != width * len(labels.joints):
        labels.problems.append(f'{where} has {len(rest)} numbers of joints')
        return
    joints = {}
    for k, name in enumerate(labels.joints):
        px, py, *flag = rest[width * k : width * (k + 1)]
        joints[name] = (px, py, flag[0] if flag else 2.0)
    labels.items.append(Item(image, joints, (x - w / 2, y - h / 2, w, h), label))
