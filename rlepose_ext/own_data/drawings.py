"""Labels of labelme and CVAT: points and rectangles that somebody has drawn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rlepose_ext.errors import UserError
from rlepose_ext.own_data.labels import Box, Item, Joint, Labels

# Of CVAT's: what is read, and tags, which say something of a whole image.
_READ = ('skeleton', 'points', 'box', 'tag')
_CORNERS = (('xtl', 'ytl'), ('xbr', 'ybr'))


@dataclass
class _Object:
    """Points of one object.

    Attributes:
        group: what its box has too; None where nobody has grouped it.
        points: names and places.
        label: name of its class, if it has one.
    """

    group: Any
    points: list[tuple[str, Joint]]
    label: str = ''


@dataclass
class _Rectangle:
    group: Any
    label: str
    box: Box


def read_labelme(path: Path) -> Labels:
    """Read a file, or all below a folder."""
    labels, unused = Labels(path, 'labelme'), Counter[str]()
    files = sorted(path.rglob('*.json')) if path.is_dir() else [path]
    others, found = Counter[str](), False
    for file in files:
        try:
            content = json.loads(file.read_bytes())
        except (ValueError, RecursionError, OSError) as error:
            labels.problems.append(f'{file} is no JSON file ({error})')
            continue
        if isinstance(content, dict) and 'shapes' in content:
            found = True
            try:
                _read_file(labels, file, content, unused, others)
            except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as e:
                labels.problems.append(
                    f'{file} is not as labelme writes it ({type(e).__name__}: {e})'
                )
    if not found:
        raise UserError(
            f'{path} has no labels of labelme: a JSON file with "shapes" an image.'
            f'{"".join(f" {problem}." for problem in labels.problems[:1])}'
        )
    _say_unused(labels, unused)
    _say_others(labels, others)
    return labels


def _read_file(
    labels: Labels, file: Path, content: dict[str, Any], unused: Counter[str], others: Counter[str]
) -> None:
    """Read what labelme writes for one image; count what is not used."""
    points, rectangles = [], []
    for shape in content['shapes']:
        corners = [(float(x), float(y)) for x, y in shape['points']]
        group, name = shape.get('group_id'), str(shape['label'])
        if shape.get('shape_type') == 'rectangle' and len(corners) > 1:
            rectangles.append(_Rectangle(group, name, _box(corners)))
        elif len(corners) == 1:
            hidden = any((shape.get('flags') or {}).values())
            points.append((group, name, (*corners[0], 1 if hidden else 2)))
        else:
            others[str(shape.get('shape_type'))] += 1
    name = str(content['imagePath']).replace('\\', '/')
    beside = file.parent / name
    image = str(beside.resolve()) if beside.is_file() else name
    labels.add_size(image, content.get('imageWidth'), content.get('imageHeight'))
    unused[image] += _add(labels, image, _grouped(points), rectangles)


def read_cvat(path: Path) -> Labels:
    """Read one file."""
    labels, root = Labels(path, 'cvat'), ElementTree.parse(path).getroot()
    unused, others = Counter[str](), Counter[str]()
    if root.find('image') is None:
        hint = ', not as one for video' if root.find('track') is not None else ''
        raise UserError(f'{path} lists no <image>: export it as "CVAT for images 1.1"{hint}.')
    for image in root.iter('image'):
        name = image.get('name', '')
        try:
            unused[name] += _read_image(labels, name, image)
        except (KeyError, ValueError) as error:
            labels.problems.append(f'{name}: {error}')
        others.update(part.tag for part in image if part.tag not in _READ)
    _say_unused(labels, unused)
    _say_others(labels, others)
    labels.links = _cvat_links(root, {name for item in labels.items for name in item.joints})
    return labels


def _read_image(labels: Labels, name: str, image: ElementTree.Element) -> int:
    """Read what CVAT writes for one image; how many rectangles are not used."""
    objects = [
        _Object(
            skeleton.get('group_id'),
            [_cvat_point(point) for point in skeleton.findall('points')],
            skeleton.get('label', ''),
        )
        for skeleton in image.findall('skeleton')
    ]
    loose = [(point.get('group_id'), *_cvat_point(point)) for point in image.findall('points')]
    rectangles = [
        _Rectangle(
            box.get('group_id'),
            box.get('label', ''),
            _box([(float(box.attrib[x]), float(box.attrib[y])) for x, y in _CORNERS]),
        )
        for box in image.findall('box')
    ]
    labels.add_size(name, image.get('width'), image.get('height'))
    return _add(labels, name, objects + _grouped(loose), rectangles)


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


def _cvat_point(point: ElementTree.Element) -> tuple[str, Joint]:
    places = point.attrib['points'].split(';')
    if len(places) > 1:
        raise ValueError(
            f'a shape {point.get("label")!r} of {len(places)} points; each joint needs a shape of '
            'one point and of its own label, or a skeleton'
        )
    x, y = map(float, places[0].split(','))
    hidden = point.get('occluded') == '1'
    v = 0 if point.get('outside') == '1' else 1 if hidden else 2
    return point.attrib['label'], (x, y, v)


def _box(corners: Sequence[tuple[float, float]]) -> Box:
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _grouped(points: Iterable[tuple[Any, str, Joint]]) -> list[_Object]:
    """Points that share a group are one object."""
    groups: dict[Any, _Object] = {}
    for group, name, joint in points:
        groups.setdefault(group, _Object(group, [])).points.append((name, joint))
    return list(groups.values())


def _add(
    labels: Labels, image: str, objects: Sequence[_Object], rectangles: Sequence[_Rectangle]
) -> int:
    """Add the objects of an image with their boxes.

    Returns:
        Number of rectangles that are nobody's box, or one of several of the same object.
    """
    alone = len(objects) == len(rectangles) == 1
    owners = [_owner(rectangle.group, objects, alone) for rectangle in rectangles]
    for k, one in enumerate(objects):
        names = Counter(name for name, _ in one.points)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            labels.problems.append(
                f'{image} has two points {twice[0]!r} in one object; each object needs its own '
                'group'
            )
            continue
        item = Item(image, dict(one.points), label=one.label)
        if owners.count(k) == 1:
            rectangle = rectangles[owners.index(k)]
            item.box, item.label = rectangle.box, one.label or rectangle.label
        labels.items.append(item)
    return sum(owner is None or owners.count(owner) > 1 for owner in owners)


def _owner(group: Any, objects: Sequence[_Object], alone: bool) -> int | None:
    """The one object of a rectangle's group; of a single pair, one may have no group."""
    fits = [
        k
        for k, one in enumerate(objects)
        if one.group == group or (alone and None in (one.group, group))
    ]
    return fits[0] if len(fits) == 1 else None


def _say_unused(labels: Labels, unused: Counter[str]) -> None:
    if unused.total():
        first = next(image for image, count in unused.items() if count)
        labels.notes.append(
            f'{unused.total()} rectangles are not used, the first in {first}, since it is not '
            'clear whose box they are; give an object and its rectangle the same group'
        )


def _say_others(labels: Labels, others: Counter[str]) -> None:
    if others:
        counts = ', '.join(f'{count} {kind}' for kind, count in others.most_common())
        labels.notes.append(f'joints are points; what is not read: {counts}')
