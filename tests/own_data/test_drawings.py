"""Which points and rectangles of labelme and CVAT are one object."""

import json

import pytest
from formats import read

from rlepose_ext.cli.main import main

A, B = (10, 10, 60, 70), (70, 20, 50, 60)  # x, y, width, height in px
POINTS = {'nose': (0.5, 0.2), 'tail': (0.4, 0.9)}  # in units of the box


def labelme(folder, objects, rectangles, four=False):
    """One JSON file for each of two images; a group and a box each."""
    shapes = [
        {'label': name, 'points': [[x + a * w, y + b * h]], 'group_id': group}
        for group, (x, y, w, h) in objects
        for name, (a, b) in POINTS.items()
    ]
    for group, (x, y, w, h) in rectangles:
        corners = [[x, y], [x + w, y + h]]
        if four:
            corners[1:1] = [[x + w, y]]
            corners += [[x, y + h]]
        shape = {'label': 'gecko', 'points': corners, 'shape_type': 'rectangle'}
        shapes.append({**shape, 'group_id': group})
    for k in (1, 2):
        content = {'imagePath': f'gecko_000{k}.png', 'shapes': shapes}
        (folder / 'images' / f'{k}.json').write_text(json.dumps(content))
    return folder / 'images'


def cvat(folder, objects, rectangles, skeletons=False):
    lines = []

    def group(number):
        return f' group_id="{number}"' if number else ''

    for number, (x, y, w, h) in objects:
        points = [
            f'<points label="{name}" points="{x + a * w},{y + b * h}"{group(number)}/>'
            for name, (a, b) in POINTS.items()
        ]
        whole = [f'<skeleton label="gecko"{group(number)}>', *points, '</skeleton>']
        lines += whole if skeletons else points
    for number, (x, y, w, h) in rectangles:
        corners = f'xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"'
        lines.append(f'<box label="box" {corners}{group(number)}/>')
    text = ''.join(f'<image name="gecko_000{k}.png">{"".join(lines)}</image>' for k in (1, 2))
    (folder / 'a.xml').write_text(f'<annotations>{text}</annotations>')
    return folder / 'a.xml'


def four_corners(folder, objects, rectangles):
    return labelme(folder, objects, rectangles, four=True)


def skeletons(folder, objects, rectangles):
    return cvat(folder, objects, rectangles, skeletons=True)


@pytest.mark.parametrize('write', [labelme, four_corners, cvat, skeletons])
@pytest.mark.parametrize(
    ('objects', 'rectangles', 'boxes'),
    [
        ([(None, A)], [(None, A)], [A]),
        ([(1, A)], [(1, A)], [A]),
        ([(1, A)], [(None, A)], [A]),
        ([(None, A)], [(1, A)], [A]),
        ([(1, A), (2, B)], [(2, B), (1, A)], [A, B]),
        ([(1, A), (2, B)], [(2, B), (None, A)], [None, B]),
        ([(1, A), (2, B)], [(None, A), (None, B)], [None, None]),
        ([(1, A)], [(2, B)], [None]),
        ([(1, A)], [(1, A), (1, B)], [None]),
        ([(1, A)], [(1, A), (None, B)], [A]),
        ([(None, A)], [(None, A), (None, B)], [None]),
    ],
)
def test_whose_box_it_is(geckos, write, objects, rectangles, boxes):
    """A rectangle is used where it is clear whose it is, and else counted."""
    labels, found, problems, _ = read(geckos, write(geckos, objects, rectangles))
    assert problems == []
    assert len(found) == 2 * len(objects)
    assert [item.box for item in labels.items] == 2 * boxes
    unused = 2 * (len(rectangles) - sum(box is not None for box in boxes))
    assert [note.partition(' ')[0] for note in labels.notes] == [str(unused)] * bool(unused)
    assert all('gecko_0001.png' in note for note in labels.notes)


def test_skeletons_may_share_a_group(geckos):
    labels, found, problems, _ = read(geckos, skeletons(geckos, [(1, A), (1, B)], []))
    assert problems == labels.notes == []
    assert len(found) == 4


@pytest.mark.parametrize('write', [labelme, cvat])
def test_two_objects_in_one_are_left_out(geckos, write, capsys):
    path = write(geckos, [(None, A), (None, B), (3, A)], [])
    labels, *_ = read(geckos, path)
    assert len(labels.items) == 2
    assert len(labels.problems) == 2
    command = ['init', str(geckos), '--labels', str(path)]
    assert main(command) == 2
    assert "has two points 'nose' in one object" in capsys.readouterr().err
    assert main([*command, '--skip-bad']) == 0
    said = capsys.readouterr().out
    assert ', 2 objects with 2 joints' in said
    assert said.count('left out: ') == 2


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', 'is no JSON file'),
        ('{"shapes": []}', "is not as labelme writes it (KeyError: 'imagePath')"),
        ('{"shapes": [{"points": 3}], "imagePath": "a"}', 'is not as labelme writes it'),
    ],
)
def test_a_bad_file_among_others_is_named(geckos, text, said, capsys):
    path = labelme(geckos, [(1, A)], [])
    (path / 'bad.json').write_text(text)
    command = ['init', str(geckos), '--labels', str(path)]
    assert main(command) == 2
    assert f'bad.json {said}' in capsys.readouterr().err
    assert main([*command, '--skip-bad']) == 0


def test_many_points_in_one_shape_of_cvat(geckos):
    path = cvat(geckos, [(1, A)], [])
    text = path.read_text()
    start = text.index('points="') + len('points="')
    path.write_text(f'{text[:start]}1,2;{text[start:]}')
    _, found, problems, _ = read(geckos, path)
    assert len(found) == 1
    assert len(problems) == 1
    assert 'of 2 points; each joint needs a shape of one point' in problems[0]
