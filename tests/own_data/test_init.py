"""What ``rlepose init`` writes, guesses and refuses."""

import json
import shutil
from itertools import chain, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from rlepose_ext.annotations import contact_sheet
from rlepose_ext.annotations.metainfo import load_metainfo
from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError
from rlepose_ext.own_data import project
from rlepose_ext.own_data.guesses import guess_links, guess_partners, lie_in_all_directions
from rlepose_ext.own_data.objects import Object, split
from rlepose_ext.own_data.project import fit, init

_CHAINS = ((0, 1, 2, 3, 4), (1, 5, 6), (1, 7, 8), (2, 9, 10), (2, 11, 12))
BONES = {bone for joints in _CHAINS for bone in pairwise(joints)}


def poses(gecko_script, number=60):
    rng = np.random.default_rng(3)
    xy = np.array([40 * gecko_script.gecko(rng) for _ in range(number)])
    return np.concatenate([xy, np.full((*xy.shape[:2], 1), 2.0)], axis=-1)


def test_what_it_writes(geckos, capsys):
    assert main(['init', str(geckos), '--labels', 'labels.json', '--name', 'Gecko!']) == 0
    said = capsys.readouterr().out
    out = geckos / 'rlepose'
    (config_file,) = out.glob('heatmap*.py')
    assert {p.name for p in out.iterdir()} == {*project._FILES, config_file.name}
    assert [p.name for p in geckos.iterdir() if p.name.startswith('.')] == []  # no draft is left
    train, val = (json.loads((out / f'{part}.json').read_text()) for part in ('train', 'val'))
    names = [image['file_name'] for image in chain(train['images'], val['images'])]
    assert sorted(names) == [f'images/gecko_{k:04d}.png' for k in range(1, 9)]
    assert len(val['images']) == 2
    meta = load_metainfo(out / 'metainfo.py')
    assert not meta.problems
    assert meta.name == 'gecko'
    assert {(meta.joints[a], meta.joints[b]) for a, b in meta.pairs} == {
        (f'left_{part}', f'right_{part}') for part in ('elbow', 'hand', 'knee', 'foot')
    }
    assert len(meta.links) == 12
    assert meta.colors[5] == (0, 255, 0)
    assert meta.colors[7] == (255, 128, 0)
    assert cv2.imread(str(out / 'sheet.png')).shape[1] > 3 * 320  # tiles, and the names
    for word in ('train', 'test', 'demo', 'export'):
        assert f'\n  rlepose {word} ' in said
    assert 'left_knee/right_knee' in said


def test_the_config_stands_alone(geckos):
    init(geckos, 'labels.json')
    (path,) = (geckos / 'rlepose').glob('heatmap*.py')
    text = path.read_text()
    assert len(text.splitlines()) <= 120
    assert str(project.__file__).partition('/rlepose_ext/')[0] not in text
    assert str(geckos) not in text
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS, MODELS

    moved = shutil.move(geckos, geckos.parent / 'moved')
    config = Config.fromfile(f'{moved}/rlepose/{path.name}')
    init_default_scope('mmpose')
    for part, number in (('train', 6), ('val', 2)):
        dataset = DATASETS.build(config[f'{part}_dataloader'].dataset)
        assert len(dataset) == number
        assert tuple(dataset[0]['inputs'].shape) == (3, 96, 96)
        assert len(dataset.metainfo['flip_indices']) == 13
    assert MODELS.build(config.model).head.out_channels == 13
    evaluator = config.val_evaluator
    assert len(json.loads(Path(evaluator.ann_file).read_text())['annotations']) == 6
    assert (Path(evaluator.img_root) / 'images').is_dir()
    iterations = config.train_cfg.max_epochs * -(-6 // config.train_dataloader.batch_size)
    assert config.param_scheduler[0].end <= iterations / 10


@pytest.mark.parametrize('objects', [2, 10, 24, 100, 400, 5000, 100_000])
def test_the_warm_up_is_a_small_part(objects):
    length = fit(objects)
    iterations = length['epochs'] * length['per_epoch']
    assert 1 <= length['warm_up'] <= max(1, iterations / 10)
    assert 4 <= length['batch'] <= 16
    assert iterations >= 300


def test_nothing_is_overwritten(geckos, capsys):
    command = ['init', str(geckos), '--labels', 'labels.json']
    assert main(command) == 0
    meta = geckos / 'rlepose/metainfo.py'
    meta.write_text('mine')
    assert main(command) == 2
    assert 'is there already' in capsys.readouterr().err
    assert meta.read_text() == 'mine'
    assert main([*command, '--force']) == 0
    assert meta.read_text() != 'mine'
    (geckos / 'rlepose/notes.txt').write_text('mine')
    assert main([*command, '--force']) == 2
    assert 'has not written' in capsys.readouterr().err
    assert (geckos / 'rlepose/notes.txt').read_text() == 'mine'
    assert main([*command, '--force', '--out', str(geckos / 'images')]) == 2


def test_a_failure_leaves_what_was_there(geckos, monkeypatch):
    init(geckos, 'labels.json')
    before = sorted(path.read_bytes() for path in (geckos / 'rlepose').iterdir())

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(contact_sheet, 'write_atomically', full)
    with pytest.raises(UserError, match='cannot be written'):
        init(geckos, 'labels.json', name='other', force=True)
    assert sorted(path.read_bytes() for path in (geckos / 'rlepose').iterdir()) == before
    assert {p.name for p in geckos.iterdir()} == {'images', 'new', 'labels.json', 'rlepose'}


def test_skip_bad(geckos, capsys):
    (geckos / 'images/gecko_0002.png').unlink()
    assert main(['init', str(geckos), '--labels', 'coco']) == 2
    assert 'gecko_0002.png: no such image' in capsys.readouterr().err
    assert not (geckos / 'rlepose').exists()
    assert main(['init', str(geckos), '--labels', 'coco', '--skip-bad']) == 0
    assert 'left out: gecko_0002.png: no such image' in capsys.readouterr().out


def add_class(path, kind):
    """Give the first object a class of its own."""
    if kind == 'coco':
        content = json.loads(path.read_text())
        content['categories'].append({**content['categories'][0], 'id': 2, 'name': 'y'})
        content['annotations'][0]['category_id'] = 2
        path.write_text(json.dumps(content))
    elif kind == 'cvat':
        path.write_text(path.read_text().replace('<skeleton label="x"', '<skeleton label="y"', 1))
    else:
        path.write_text(path.read_text().replace('names: {0: x}', 'names: {0: x, 1: y}'))
        file = path.parent / 'labels/train/gecko_0002.txt'
        file.write_text(f'1{file.read_text()[1:]}')


@pytest.mark.parametrize('kind', ['coco', 'cvat', 'yolo'])
def test_classes_that_become_one_are_named(geckos, labels_as, kind):
    path = labels_as(kind)
    assert 'trained as one' not in init(geckos, str(path))
    add_class(path, kind)
    assert '2 classes are trained as one: 8 x, 1 y\n' in init(geckos, str(path), force=True)


def test_notes_are_printed(geckos):
    path = geckos / 'labels.json'
    content = json.loads(path.read_text())
    content['categories'][0]['skeleton'] = [[0, 1]]
    path.write_text(json.dumps(content))
    assert 'skeleton was read as numbered from 0' in init(geckos, 'coco')


def test_a_misspelt_joint_is_noticed(geckos):
    rows = [f'gecko_000{k % 8 + 1}.png,10,20,{90 + k},99,{"" if k else 50},50' for k in range(40)]
    text = '\n'.join(['image,nose_x,nose_y,tail_x,tail_y,noze_x,noze_y', *rows])
    (geckos / 'labels.csv').write_text(text)
    assert 'seldom labelled, perhaps misspelt: noze' in init(geckos, 'csv')


def test_a_path_that_configs_cannot_carry(geckos, capsys):
    apart = geckos.rename(geckos.with_name("Bob's"))
    for folder, out in ((apart, geckos.with_name('out')), (geckos.with_name('data'), "it's")):
        apart = apart.rename(folder)
        assert main(['init', str(apart), '--labels', 'coco', '--out', str(apart / out)]) == 2
        assert 'quotes or braces' in capsys.readouterr().err


def test_links_are_the_bones(gecko_script):
    keypoints = poses(gecko_script)
    assert set(guess_links(keypoints)) == BONES
    keypoints[:30, 6, 2] = 0  # half of the left hands are not labelled
    keypoints[:30, 6, :2] = 0
    assert set(guess_links(keypoints)) == BONES
    keypoints[:, 4, 2] = 0  # no tail tip at all
    assert set(guess_links(keypoints)) == BONES - {(3, 4)}


def test_directions(gecko_script):
    keypoints = poses(gecko_script)
    assert not lie_in_all_directions(keypoints)
    turn = np.random.default_rng(0).uniform(0, 2 * np.pi, (60, 1))
    x, y = keypoints[..., 0].copy(), keypoints[..., 1].copy()
    keypoints[..., 0] = x * np.cos(turn) - y * np.sin(turn)
    keypoints[..., 1] = x * np.sin(turn) + y * np.cos(turn)
    assert lie_in_all_directions(keypoints)
    assert set(guess_links(keypoints)) == BONES


def test_pairs_without_names():
    """People who face the camera: poses alone tell left from right; not where few are seen."""
    rng = np.random.default_rng(0)
    places = np.array([(50, 5), (80, 50), (20, 50), (65, 95), (35, 95)], float)
    xy = places + rng.normal(0, 4, (40, 5, 2))
    keypoints = np.concatenate([xy, np.full((40, 5, 1), 2.0)], axis=-1)
    boxes = np.tile([0.0, 0, 100, 100], (40, 1))
    names = [f'joint_{k}' for k in range(5)]
    assert guess_partners(names, [], keypoints, boxes) == ([0, 2, 1, 4, 3], 'poses alone')
    assert guess_partners(names, [], keypoints[:5], boxes[:5]) == ([0, 1, 2, 3, 4], '')
    named = ['head', 'LeftHand', 'RightHand', 'l_foot', 'r_foot']
    assert guess_partners(named, [], keypoints[:5], boxes[:5]) == ([0, 2, 1, 4, 3], 'names')
    given = [('joint_1', 'joint_2')]
    assert guess_partners(names, given, keypoints, boxes) == ([0, 2, 1, 3, 4], 'the labels')


def test_without_pairs_nothing_is_mirrored(geckos):
    path = geckos / 'labels.json'
    path.write_text(path.read_text().replace('left_', 'a_').replace('right_', 'b_'))
    said = init(geckos, 'labels.json')
    assert 'no left and right found: images will not be mirrored' in said
    from mmengine.config import Config

    (file,) = (geckos / 'rlepose').glob('heatmap*.py')
    config = Config.fromfile(file)
    steps = [step['type'] for step in config.train_dataloader.dataset.pipeline]
    assert 'RandomFlip' not in steps
    assert 'RandomBBoxTransform' in steps
    assert config.model.test_cfg.flip_test is False


def test_split():
    def one(file, part=None):
        return Object(file, (9, 9), np.zeros((1, 3)), np.ones(4), part)

    frames = [one(f'video_{v}/frame_{f:03d}.png') for v in range(10) for f in range(20)]
    chosen, how = split(frames, False, 0)
    assert 'by the 10 sequences' in how
    assert len({name.split('/')[0] for name in chosen}) == 2
    assert len(chosen) == 40
    chosen, how = split(frames, True, 0)
    assert 'image by image' in how
    assert len(chosen) == 40
    assert len({name.split('/')[0] for name in chosen}) > 2
    assert split(frames, True, 0) == split(frames, True, 0) != split(frames, True, 1)
    two = [one('a.png'), one('b.png')]
    assert len(split(two, False, 0)[0]) == 1
    given = [one('a.png', 'train'), one('b.png', 'val'), one('c.png', 'train')]
    assert split(given, False, 0) == ({'b.png'}, 'as the labels have it')
