"""The same labels as each tool writes them, and read back."""

import csv
import json
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from rlepose_ext.own_data.objects import Images, find_objects
from rlepose_ext.own_data.readers import read_labels

WRITERS = {}


def writes(name):
    def remember(function):
        WRITERS[name] = function
        return function

    return remember


@writes('coco')
def coco(folder, joints, items):
    names = list(dict.fromkeys(item.image for item in items))
    content = {
        'images': [{'id': i, 'file_name': name} for i, name in enumerate(names)],
        'categories': [{'id': 1, 'name': 'x', 'keypoints': list(joints)}],
        'annotations': [
            {
                'id': number,
                'image_id': names.index(item.image),
                'category_id': 1,
                'keypoints': [n for name in joints for n in item.joints[name]],
                **({'bbox': list(item.box)} if item.box else {}),
            }
            for number, item in enumerate(items)
        ],
    }
    return _text(folder / 'labels.json', json.dumps(content))


@writes('labelme')
def labelme(folder, joints, items):
    out = folder / 'labelme'
    out.mkdir(exist_ok=True)
    for image in dict.fromkeys(item.image for item in items):
        shapes = []
        for group, item in enumerate(i for i in items if i.image == image):
            for name, (x, y, v) in item.joints.items():
                if v:
                    shape = {'label': name, 'points': [[x, y]], 'shape_type': 'point'}
                    shapes.append({**shape, 'group_id': group, 'flags': {'hidden': v == 1}})
            if item.box:
                x, y, w, h = item.box
                corners = [[x + w, y], [x, y + h]]
                shape = {'label': 'x', 'points': corners, 'shape_type': 'rectangle', 'flags': {}}
                shapes.append({**shape, 'group_id': group})
        content = {'imagePath': f'..\\images\\{image}', 'shapes': shapes}
        _text(out / f'{image}.json', json.dumps(content))
    return out


@writes('cvat')
def cvat(folder, joints, items):
    """Edges of the skeleton: each joint and the next, but the last; numbers of nodes count down."""
    node = {name: len(joints) - k for k, name in enumerate(joints)}
    svg = ''.join(
        f'<line x1="36.3" y1="45.9" x2="59.1" y2="23.1" stroke="black" data-type="edge" '
        f'data-node-from="{node[a]}" stroke-width="0.5" data-node-to="{node[b]}"></line>'
        for a, b in pairwise(joints[:-1])
    ) + ''.join(
        f'<circle r="1.5" stroke="black" fill="#b3b3b3" cx="22.6" cy="25.8" stroke-width="0.1" '
        f'data-type="element node" data-element-id="{k}" data-node-id="{k}" '
        f'data-label-name={quoteattr(name)}></circle>'
        for name, k in node.items()
    )
    points = ''.join(
        f'<label><name>{escape(name)}</name><color>#d12345</color><type>points</type>'
        '<attributes></attributes><parent>x</parent></label>'
        for name in joints
    )
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<annotations><version>1.1</version>',
        '<meta><task><id>7</id><name>geckos</name><mode>annotation</mode><labels>',
        '<label><name>x</name><color>#5c5eba</color><type>skeleton</type><attributes></attributes>',
        f'<svg>{escape(svg)}</svg></label>{points}</labels></task></meta>',
    ]
    for i, image in enumerate(dict.fromkeys(item.image for item in items)):
        lines.append(f'<image id="{i}" name={quoteattr(image)} width="144" height="144">')
        for group, item in enumerate((i for i in items if i.image == image), 1):
            loose = bool(item.box)  # a skeleton of CVAT has no box
            lines += [] if loose else ['<skeleton label="x" source="manual">']
            for name, (x, y, v) in item.joints.items():
                flags = f'outside="{int(v == 0)}" occluded="{int(v == 1)}" group_id="{group}"'
                lines.append(f'<points label={quoteattr(name)} {flags} points="{x},{y}"/>')
            if loose:
                x, y, w, h = item.box
                corners = f'xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"'
                lines.append(f'<box label="x" {corners} group_id="{group}"/>')
            else:
                lines.append('</skeleton>')
        lines.append('</image>')
    return _text(folder / 'annotations.xml', '\n'.join([*lines, '</annotations>']))


@writes('yolo')
def yolo(folder, joints, items, side=144):
    """The last quarter of the images is the part to validate."""
    names = list(dict.fromkeys(item.image for item in items))
    for number, name in enumerate(names):
        part = 'val' if number >= len(names) * 3 // 4 else 'train'
        rows = []
        for item in (i for i in items if i.image == name):
            x, y, w, h = item.box or (10, 10, 120, 120)
            row = [0, (x + w / 2) / side, (y + h / 2) / side, w / side, h / side]
            for joint in joints:
                px, py, v = item.joints[joint]
                row += [px / side, py / side, v]
            rows.append(' '.join(map(str, row)))
        for kind in ('images', 'labels'):
            (folder / 'yolo' / kind / part).mkdir(parents=True, exist_ok=True)
        (folder / 'yolo/images' / part / name).write_bytes((folder / 'images' / name).read_bytes())
        _text((folder / 'yolo/labels' / part / name).with_suffix('.txt'), '\n'.join(rows))
    swap = [joints.index(other_side(name)) for name in joints]
    text = (
        f'path: .\ntrain: images/train\nval: images/val\nkpt_shape: [{len(joints)}, 3]\n'
        f'flip_idx: {swap}\nnames: {{0: x}}\nkpt_names: {{0: {list(joints)}}}\n'
    )
    return _text(folder / 'yolo/data.yaml', text)


@writes('csv')
def table(folder, joints, items):
    box = ['box_x', 'box_y', 'box_width', 'box_height']
    header = ['image', *(f'{name}_{end}' for name in joints for end in 'xyv'), *box]
    rows = [header]
    for item in items:
        cells = [c for n in joints for c in (item.joints[n] if item.joints[n][2] else ('',) * 3)]
        rows.append([f'images/{item.image}', *cells, *(item.box or [''] * 4)])
    return _rows(folder / 'labels.csv', rows)


@writes('deeplabcut')
def deeplabcut(folder, joints, items):
    """With individuals, and the path of an image in three columns; without v."""
    most = max(sum(i.image == item.image for i in items) for item in items)
    ones = [f'animal{k}' for k in range(most)]
    columns = [(one, name, end) for one in ones for name in joints for end in 'xy']
    rows = [
        [title, '', '', *cells]
        for title, *cells in (
            ['scorer', *('me' for _ in columns)],
            ['individuals', *(one for one, _, _ in columns)],
            ['bodyparts', *(name for _, name, _ in columns)],
            ['coords', *(end for _, _, end in columns)],
        )
    ]
    for image in dict.fromkeys(item.image for item in items):
        row = ['labeled-data', 'images', image]
        here = [item for item in items if item.image == image]
        for k in range(most):
            for name in joints:
                x, y, v = here[k].joints[name] if k < len(here) else (0, 0, 0)
                row += [x, y] if v else ['', 'nan']
        rows.append(row)
    return _rows(folder / 'CollectedData_me.csv', rows)


def read(folder, what):
    labels = read_labels(folder, str(what))
    images = Images(folder, labels.source, folder / 'rlepose')
    return labels, *find_objects(labels, images)


def other_side(name):
    side, _, rest = name.partition('_')
    other = {'left': 'right', 'right': 'left'}.get(side)
    return f'{other}_{rest}' if other else name


def _text(path, text):
    path.write_text(text, encoding='utf-8')
    return path


def _rows(path, rows):
    with path.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(rows)
    return path
