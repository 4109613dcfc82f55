"""AI Challenger's original json to COCO: by hand, there and back, and what is wrong in it."""

import json

import cv2
import numpy as np
import pytest

from rlepose_ext.annotations import aic
from rlepose_ext.annotations.metainfo import load_metainfo
from rlepose_ext.annotations.pose_file import read_pose_file
from rlepose_ext.errors import UserError

# x, y, v of the 14 joints: the first visible, the second not, the third not labelled
JOINTS = [100, 50, 1, 90, 80, 2, 0, 0, 3, *[n for k in range(11) for n in (10 * k, 5, 1)]]
BOX = [20, 10, 120, 210]


@pytest.fixture
def raw(tmp_path):
    """Two images, of 300 x 250 and of 64 x 48; the first with two persons."""
    for name, shape in (('aa', (250, 300)), ('bb', (48, 64))):
        (tmp_path / 'images').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'images/{name}.jpg'), np.zeros((*shape, 3), np.uint8))
    path = tmp_path / 'raw.json'

    def write(change=None):
        content = [
            {
                'image_id': 'aa',
                'url': 'http://nowhere',
                'human_annotations': {'human10': BOX, 'human2': [0, 0, 5, 6]},
                'keypoint_annotations': {'human10': JOINTS, 'human2': [1, 2, 3] * 14},
            },
            {
                'image_id': 'bb',
                'url': '',
                'human_annotations': {'human1': [0, 0, 64, 48]},
                'keypoint_annotations': {'human1': JOINTS},
            },
        ]
        if change:
            change(content)
        path.write_text(json.dumps(content))
        return path

    return write


def convert(path, **options):
    out = path.parent / 'out/aic.json'
    return aic.convert(path, path.parent / 'images', out, **options), out


def test_by_hand(raw):
    result, out = convert(raw())
    assert result.files == {out: (2, 3)}
    assert result.left_out == []
    content = json.loads(out.read_text())
    assert content['images'] == [
        {'id': 1, 'file_name': 'aa.jpg', 'width': 300, 'height': 250},
        {'id': 2, 'file_name': 'bb.jpg', 'width': 64, 'height': 48},
    ]
    # human2 comes before human10
    second, first, third = content['annotations']
    assert [second['id'], first['id'], third['id']] == [1, 2, 3]
    assert second['num_keypoints'] == 0
    assert second['keypoints'] == [0] * 42
    assert first['bbox'] == [20, 10, 100, 200]
    assert first['area'] == 20_000
    assert first['iscrowd'] == 0
    assert first['keypoints'][:12] == [100, 50, 2, 90, 80, 1, 0, 0, 0, 0, 5, 2]
    assert first['num_keypoints'] == 13
    assert third['image_id'] == 2


def test_the_joints_are_those_of_mmpose():
    assert load_metainfo('mmpose:aic').joints == aic.JOINTS


BAD = {
    'empty box': ({'box': [5, 5, 5, 9]}, 'is empty, expected x1'),
    'box of three': ({'box': [1, 2, 3]}, 'expected x1, y1, x2, y2'),
    'infinite box': ({'box': [1, 2, 3, float('inf')]}, 'y2, all finite'),
    'no box': ({'box': None}, 'box None'),
    'no joints': ({'joints': None}, 'NoneType numbers of joints'),
    '41 joints': ({'joints': [1] * 41}, '41 numbers of joints'),
    'v of 0': ({'joints': [1, 2, 0] * 14}, 'v = 0'),
    'nan': ({'joints': [float('nan'), 2, 1] * 14}, 'right_shoulder is [nan, 2, 1], expected x'),
    'text': ({'joints': [*JOINTS[:3], '9', *JOINTS[4:]]}, "right_elbow is ['9', 80, 2], expected"),
    'no image': ({'image_id': 'cc'}, 'cc.jpg is missing'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_entries_are_named_and_nothing_is_written(raw, name):
    values, said = BAD[name]

    def change(content):
        entry = content[1]
        if 'image_id' in values:
            entry.update(values)
        for key, field in (('box', 'human_annotations'), ('joints', 'keypoint_annotations')):
            if key in values:
                entry[field] = {'human1': values[key]}

    path = raw(change)
    out = path.parent / 'out/aic.json'
    with pytest.raises(UserError, match='--skip-bad') as error:
        convert(path)
    assert said in str(error.value)
    assert not out.exists()
    result, _ = convert(path, skip_bad=True)
    assert any(said in problem for problem in result.left_out)
    assert read_pose_file(out, 14).keypoints.shape[1:] == (14, 3)


def test_the_first_entry_of_an_image_counts(raw):
    def repeat(content):
        again = {**content[0], 'human_annotations': {'human1': [1, 1, 9, 9]}}
        again['keypoint_annotations'] = {'human1': JOINTS}
        content[1:1] = [again, again]

    result, out = convert(raw(repeat), skip_bad=True)
    assert result.files == {out: (2, 3)}
    assert result.left_out == ['aa: one more entry of this image'] * 2
    again = out.read_bytes()
    assert convert(raw())[0].files == {out: (2, 3)}
    assert out.read_bytes() == again


WHOLE = {
    '': 'original',
    '{"images": []}': 'original',
    '[{"image_id": 1}]': 'original',
    '[1]': 'original',
    '[]': 'holds no person',
    json.dumps([{'image_id': 'bb', 'human_annotations': None, 'keypoint_annotations': {}}]):
        r'human_annotations of entry 0 \(image bb\) is null, expected an object',
    json.dumps([{'image_id': 'bb', 'human_annotations': {}, 'keypoint_annotations': [1, 2]}]):
        r'keypoint_annotations of entry 0 \(image bb\) is \[1, 2\], expected an object',
    json.dumps([{'image_id': 'bb', 'human_annotations': {}, 'keypoint_annotations': {'a': []}}]):
        '1 bad entries',
}  # fmt: skip


@pytest.mark.parametrize(('text', 'said'), WHOLE.items())
def test_files_of_which_nothing_is_left(raw, text, said):
    path = raw()
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        convert(path, skip_bad=True)
    with pytest.raises(UserError, match=r'image folder .* does not exist'):
        aic.convert(raw(), path.parent / 'absent', path.parent / 'out.json')


def test_the_published_sample_there_and_back(shared, tmp_path):
    folder = shared / 'data/mmpose_samples/aic'
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there')
    published = json.loads((folder / 'test_aic.json').read_text())
    back = {2: 1, 1: 2, 0: 3}
    raw = []
    for image in published['images']:
        persons = [a for a in published['annotations'] if a['image_id'] == image['id']]
        entry = {'image_id': image['file_name'][:-4], 'url': image['url']}
        entry['human_annotations'], entry['keypoint_annotations'] = {}, {}
        for number, person in enumerate(persons, start=1):
            x, y, width, height = person['bbox']
            entry['human_annotations'][f'human{number}'] = [x, y, x + width, y + height]
            numbers = list(person['keypoints'])
            numbers[2::3] = [back[v] for v in numbers[2::3]]
            entry['keypoint_annotations'][f'human{number}'] = numbers
        raw.append(entry)
    path = tmp_path / 'raw.json'
    path.write_text(json.dumps(raw))
    aic.convert(path, folder, tmp_path / 'out.json')
    ours = json.loads((tmp_path / 'out.json').read_text())
    for image, theirs in zip(ours['images'], published['images'], strict=True):
        assert image == {key: theirs[key] for key in image}
    for person, theirs in zip(ours['annotations'], published['annotations'], strict=True):
        for key in ('bbox', 'keypoints', 'num_keypoints', 'image_id', 'category_id'):
            assert person[key] == theirs[key]
    assert [name.lower().replace(' ', '_') for name in published['categories'][0]['keypoints']] == (
        ours['categories'][0]['keypoints']
    )
    assert ours['categories'][0]['skeleton'] == published['categories'][0]['skeleton']


@pytest.mark.slow
def test_mmpose_reads_it(raw):
    from mmpose.datasets import AicDataset

    path = raw()
    _, out = convert(path)
    data = AicDataset(
        ann_file=str(out), data_prefix=dict(img=f'{path.parent}/images/'), pipeline=[]
    )
    assert len(data) == 2  # the one without labelled joints is left out
    assert data[0]['keypoints'].shape == (1, 14, 2)
    assert data[0]['bbox'].tolist() == [[20, 10, 120, 210]]
    assert data[0]['keypoints_visible'][0, :3].tolist() == [1, 1, 0]
