"""What labelling tools write, read into one form.

======== ==================================================================================
coco     COCO keypoint JSON
labelme  a JSON file for each image, with points; ``group_id`` tells several objects apart
cvat     "CVAT for images 1.1" XML: skeletons, or points that share a ``group_id``
yolo     ``data.yaml`` with ``kpt_shape``, and a text file for each image
csv      a row for each object: ``image,nose_x,nose_y,...``; or DeepLabCut's ``CollectedData``
======== ==================================================================================

A table has one header row. Its first column is the image; ``NAME_x`` and ``NAME_y`` are a joint's
place in image px, ``NAME_v`` its visibility (2 visible, 1 hidden, 0 not labelled; default 2);
``box_x, box_y, box_width, box_height`` are an object's box. An empty place, or NaN, is a joint
that is not labelled.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rlepose_ext.annotations.coco_file import check_coco, flat
from rlepose_ext.errors import UserError

Joint = tuple[float, float, float]  # x, y in image px, v: 0 not labelled, 1 hidden, 2 visible
Box = tuple[float, ...]  # x, y, width, height in image px
_BOX = ('box_x', 'box_y', 'box_width', 'box_height')


@dataclass
class Item:
    """One labelled object.

    Attributes:
        image: its image, as the labels name it.
        joints: by name.
        box: None where the labels have none.
    """

    image: str
    joints: dict[str, Joint]
    box: Box | None = None


@dataclass
class Labels:
    """What a file or folder of labels says.

    Attributes:
        source: the file or folder.
        kind: a key of :data:`KINDS`.
        items: the objects.
        joints: names in their order; by default that of their first appearance.
        links: pairs of names to draw.
        pairs: pairs of names that change places in a mirrored image.
        parts: ``'train'`` or ``'val'`` of images, where the labels say so.
        relative: whether coordinates are parts of the image's width and height, not px.
        problems: entries that cannot be used, each a clause.
    """

    source: Path
    kind: str
    items: list[Item] = field(default_factory=list)
    joints: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    relative: bool = False
    problems: list[str] = field(default_factory=list)


def read_labels(folder: Path, what: str) -> Labels:
    """Read labels.

    Args:
        folder: of the data.
        what: a file or folder, seen from here or from ``folder``; or a key of :data:`KINDS`,
            for the one that lies in ``folder``.

    Raises:
        UserError: there is no such file, or it cannot be read as what it should be.
    """
    kind, path = _find(folder, what)
    read, _, expected = KINDS[kind]
    try:
        labels = read(path)
    except UserError:
        raise
    except Exception as error:  # a file may hold anything
        raise UserError(
            f'{path} cannot be read as {kind} labels ({type(error).__name__}: {error}). Expected '
            f'{expected}.'
        ) from error
    if not labels.joints:
        labels.joints = list(dict.fromkeys(name for item in labels.items for name in item.joints))
    return labels


def _find(folder: Path, what: str) -> tuple[str, Path]:
    if what in KINDS:
        if what == 'labelme':
            return what, folder
        found = sorted(path for pattern in KINDS[what][1] for path in folder.glob(pattern))
        if len(found) != 1:
            names = ', '.join(path.name for path in found[:4]) or 'none'
            raise UserError(
                f'--labels {what}: expected one file {" or ".join(KINDS[what][1])} in {folder}, '
                f'found {names}. Name it: --labels FILE.'
            )
        return what, found[0]
    path = next((path for path in (Path(what), folder / what) if path.exists()), None)
    if path is None:
        raise UserError(
            f'--labels {what} exists neither here ({Path.cwd()}) nor in {folder}. Give a file, or '
            f'one of {", ".join(KINDS)}.'
        )
    if path.is_dir():
        return 'labelme', path
    kinds = {'.xml': 'cvat', '.yaml': 'yolo', '.yml': 'yolo', '.csv': 'csv', '.json': 'coco'}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UserError(f'--labels {what}: expected a file with one of {", ".join(kinds)}.')
    if kind == 'coco' and '"shapes"' in path.read_text(encoding='utf-8', errors='replace'):
        kind = 'labelme'
    return kind, path


def _coco(path: Path) -> Labels:
    content = json.loads(path.read_bytes())
    check_coco(content, path)
    posed = [ann for ann in content.get('annotations', []) if ann.get('keypoints')]
    posed = [ann for ann in posed if not ann.get('iscrowd')]
    named = [c for c in content.get('categories', []) if c.get('keypoints')]
    if len({tuple(category['keypoints']) for category in named}) > 1:
        raise UserError(
            f'{path} has categories with different joints: '
            f'{", ".join(str(category.get("name")) for category in named)}. Keep one of them.'
        )
    joints = [str(name) for name in named[0]['keypoints']] if named else []
    count = len(joints) or max((len(flat(ann['keypoints'])) // 3 for ann in posed), default=0)
    joints = joints or [f'joint_{k}' for k in range(count)]
    links = [
        (joints[int(a) - 1], joints[int(b) - 1])
        for a, b in (named[0].get('skeleton') or [] if named else [])
    ]
    labels = Labels(path, 'coco', joints=joints, links=links)
    images = {image['id']: str(image['file_name']) for image in content['images']}
    for ann in posed:
        numbers = flat(ann['keypoints'])
        if ann['image_id'] not in images:
            labels.problems.append(f'annotation {ann["id"]} is of no image that is listed')
        elif len(numbers) != 3 * count:
            labels.problems.append(
                f'annotation {ann["id"]} has {len(numbers) / 3:g} joints, expected {count}'
            )
        else:
            triples = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
            item = Item(images[ann['image_id']], dict(zip(joints, triples, strict=True)))
            item.box = tuple(ann['bbox']) if ann.get('bbox') else None
            labels.items.append(item)
    return labels


def _labelme(path: Path) -> Labels:
    labels = Labels(path, 'labelme')
    files = sorted(path.rglob('*.json')) if path.is_dir() else [path]
    contents = [(file, json.loads(file.read_bytes())) for file in files]
    contents = [(file, c) for file, c in contents if isinstance(c, dict) and 'shapes' in c]
    if not contents:
        raise UserError(f'{path} has no labels of labelme: a JSON file with "shapes" an image.')
    for file, content in contents:
        points, boxes = [], []
        for shape in content['shapes']:
            corners = [(float(x), float(y)) for x, y in shape['points']]
            group, name = shape.get('group_id'), str(shape['label'])
            if shape.get('shape_type') == 'rectangle' and len(corners) == 2:
                boxes.append((group, _box(*corners[0], *corners[1])))
            elif len(corners) == 1:
                hidden = any((shape.get('flags') or {}).values())
                points.append((group, name, (*corners[0], 1 if hidden else 2)))
        name = str(content['imagePath']).replace('\\', '/')
        beside = file.parent / name
        _group(labels, str(beside.resolve()) if beside.is_file() else name, points, boxes)
    return labels


def _cvat(path: Path) -> Labels:
    labels, root = Labels(path, 'cvat'), ElementTree.parse(path).getroot()
    if root.find('image') is None:
        hint = ', not as one for video' if root.find('track') is not None else ''
        raise UserError(f'{path} lists no <image>: export it as "CVAT for images 1.1"{hint}.')
    for image in root.iter('image'):
        name = image.attrib['name']
        for skeleton in image.findall('skeleton'):
            found = [(None, *_cvat_point(point)) for point in skeleton.findall('points')]
            _group(labels, name, found, [])
        loose = [(point.get('group_id'), *_cvat_point(point)) for point in image.findall('points')]
        boxes = [
            (box.get('group_id'), _box(*(float(box.attrib[key]) for key in _CORNERS)))
            for box in image.findall('box')
        ]
        _group(labels, name, loose, boxes)
    labels.links = _cvat_links(root, {name for item in labels.items for name in item.joints})
    return labels


def _cvat_links(root: ElementTree.Element, joints: set[str]) -> list[tuple[str, str]]:
    """Edges of skeletons: lines between circles of the drawing that a label has as text."""
    links = []
    for label in root.iterfind('.//label/svg'):
        drawing = ElementTree.fromstring(f'<svg>{label.text or ""}</svg>')
        nodes = {c.get('data-node-id'): c.get('data-label-name') for c in drawing.iter('circle')}
        for line in drawing.iter('line'):
            ends = [nodes.get(line.get(f'data-node-{end}')) for end in ('from', 'to')]
            if joints.issuperset(ends):
                links.append((ends[0], ends[1]))
    return links


_CORNERS = ('xtl', 'ytl', 'xbr', 'ybr')


def _cvat_point(point: ElementTree.Element) -> tuple[str, Joint]:
    x, y = map(float, point.attrib['points'].split(','))
    hidden = point.get('occluded') == '1'
    v = 0 if point.get('outside') == '1' else 1 if hidden else 2
    return point.attrib['label'], (x, y, v)


def _yolo(path: Path) -> Labels:
    import yaml

    info = yaml.safe_load(path.read_text(encoding='utf-8'))
    count, width = info['kpt_shape']
    names = info.get('kpt_names') or [f'joint_{k}' for k in range(count)]
    if isinstance(names, dict):
        (names,) = names.values()  # by class
    names = [str(name) for name in names]
    if len(set(names)) != count or width not in (2, 3):
        raise ValueError(f'kpt_shape {count, width} with {len(names)} names')
    labels = Labels(path, 'yolo', joints=names, relative=True)
    swapped = info.get('flip_idx') or []
    labels.pairs = [(names[a], names[b]) for a, b in enumerate(swapped) if a < b]
    home = path.parent.resolve()
    root = next(p for p in (home / str(info.get('path') or ''), home) if p.is_dir())
    for part in ('train', 'val'):
        folders = info.get(part) or []
        for images in [folders] if isinstance(folders, str) else folders:
            images = root / images
            parts = list(images.parts)
            if 'images' in parts:  # the last of them
                parts[-1 - parts[::-1].index('images')] = 'labels'
            texts = Path(*parts)
            for file in sorted(texts.rglob('*.txt')):
                image = str((images / file.relative_to(texts)).with_suffix(''))
                labels.parts[image] = part
                for number, line in enumerate(file.read_text().splitlines(), 1):
                    if line.strip():
                        _yolo_line(labels, image, line, width, f'line {number} of {file}')
    return labels


def _yolo_line(labels: Labels, image: str, line: str, width: int, where: str) -> None:
    _, x, y, w, h, *rest = map(float, line.split())
    if len(rest) != width * len(labels.joints):
        labels.problems.append(f'{where} has {len(rest)} numbers of joints')
        return
    joints = {}
    for k, name in enumerate(labels.joints):
        px, py, *flag = rest[width * k : width * (k + 1)]
        joints[name] = (px, py, flag[0] if flag else 2.0 * (px > 0 or py > 0))
    labels.items.append(Item(image, joints, (x - w / 2, y - h / 2, w, h)))


def _csv(path: Path) -> Labels:
    with path.open(newline='', encoding='utf-8-sig') as file:
        text = file.read()
    dialect = ';' if ';' in text.partition('\n')[0] else ','
    rows = [row for row in csv.reader(text.splitlines(), delimiter=dialect) if any(row)]
    if rows[0][0] == 'scorer':
        return _deeplabcut(path, rows)
    header = [name.strip() for name in rows[0]]
    column = {name: index for index, name in enumerate(header)}
    joints = [n[:-2] for n in header if n.endswith('_x') and n[:-2] + '_y' in column]
    joints = [name for name in joints if name != 'box']
    if not joints or len(column) < len(header):
        raise ValueError(f'the columns are {", ".join(header)}'[:200])
    labels = Labels(path, 'csv', joints=joints)
    for number, row in _whole_rows(labels, rows[1:], len(header)):
        try:
            item = Item(row[0].strip().replace('\\', '/'), {})
            for name in joints:
                v = row[column[f'{name}_v']] if f'{name}_v' in column else ''
                item.joints[name] = _cell(row[column[f'{name}_x']], row[column[f'{name}_y']], v)
            if all(name in column and row[column[name]].strip() for name in _BOX):
                item.box = tuple(float(row[column[name]]) for name in _BOX)
        except ValueError as error:
            labels.problems.append(f'row {number}: {error}')
            continue
        labels.items.append(item)
    return labels


def _deeplabcut(path: Path, rows: list[list[str]]) -> Labels:
    heads = {row[0]: row for row in rows if row[0] in ('individuals', 'bodyparts', 'coords')}
    parts, coords = heads['bodyparts'], heads['coords']
    index = next(k for k in range(1, len(parts)) if parts[k])  # one column, or folder by folder
    individuals = heads.get('individuals') or [''] * len(parts)
    columns = list(zip(individuals, parts, coords, strict=True))
    labels = Labels(path, 'csv', joints=list(dict.fromkeys(parts[index:])))
    for number, row in _whole_rows(labels, rows[1 + len(heads) :], len(parts)):
        cells = dict(zip(columns[index:], row[index:], strict=True))
        for one in dict.fromkeys(individuals[index:]):
            try:
                joints = {
                    part: _cell(cells[one, part, 'x'], cells[one, part, 'y'])
                    for part in labels.joints
                    if (one, part, 'x') in cells
                }
            except ValueError as error:
                labels.problems.append(f'row {number}: {error}')
                continue
            if any(v for *_, v in joints.values()):
                labels.items.append(Item('/'.join(row[:index]), joints))
    return labels


def _whole_rows(
    labels: Labels, rows: Iterable[list[str]], width: int
) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(rows, 1):
        if len(row) == width:
            yield number, row
        else:
            labels.problems.append(f'row {number} has {len(row)} columns, expected {width}')


def _cell(x: str, y: str, v: str = '') -> Joint:
    numbers = [float(text) if text.strip() else math.nan for text in (x, y)]
    if any(map(math.isnan, numbers)):
        return 0.0, 0.0, 0.0
    return numbers[0], numbers[1], float(v) if v.strip() else 2.0


def _box(x1: float, y1: float, x2: float, y2: float) -> Box:
    return min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1)


def _group(
    labels: Labels,
    image: str,
    points: list[tuple[Any, str, Joint]],
    boxes: list[tuple[Any, Box]],
) -> None:
    """Points and boxes that share a group are one object."""
    groups: dict[Any, Item] = {}
    for group, name, joint in points:
        item = groups.setdefault(group, Item(image, {}))
        if name in item.joints:
            labels.problems.append(
                f'{image} has two points {name!r} in one object; each object needs its own group'
            )
        item.joints[name] = joint
    for group, box in boxes:
        if group in groups:
            groups[group].box = box
    labels.items += groups.values()


# Reader, files that `--labels KIND` looks for, and what they should be.
KINDS: dict[str, tuple[Callable[[Path], Labels], tuple[str, ...], str]] = {
    'coco': (_coco, ('*.json', 'annotations/*.json'), 'a COCO keypoint file'),
    'labelme': (_labelme, (), "labelme's JSON files, one for each image"),
    'cvat': (_cvat, ('*.xml',), 'an export as "CVAT for images 1.1"'),
    'yolo': (
        _yolo,
        ('*.yaml', '*.yml'),
        'a data.yaml with kpt_shape: [K, 2 or 3], train and val, and text files with class, x, y, '
        'width, height and the joints of one object a line',
    ),
    'csv': (
        _csv,
        ('*.csv',),
        "the columns image, NAME_x, NAME_y, ..., or DeepLabCut's three or four header rows",
    ),
}
