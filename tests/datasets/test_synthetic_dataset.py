"""The drawn data set on disk: validity, reuse, replacement, baseline, contact sheet."""

import contextlib
import hashlib
import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from rlepose_ext.datasets.synthetic import (
    SyntheticPeopleConfig,
    contact_sheet,
    mean_pose,
    mean_pose_baseline,
    write_dataset,
)
from rlepose_ext.datasets.synthetic import writer as writer_module
from rlepose_ext.errors import UserError

SMALL = SyntheticPeopleConfig(width=(64, 80), height=(72, 96))


def digests(root):
    """Relative path -> hash of every file below ``root``."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('drawn') / 'set', 150, 100, seed=0)


@pytest.fixture
def small(tmp_path):
    return write_dataset(tmp_path / 'set', 6, 4, seed=1, config=SMALL)


def load(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


# --- what is written --------------------------------------------------------------------


def test_coco_annotations_are_valid(drawn):
    for path, images, count in (
        (drawn.train_json, drawn.train_images, 150),
        (drawn.val_json, drawn.val_images, 100),
    ):
        coco = load(path)
        assert len(coco.getImgIds()) == count
        assert len(list(images.iterdir())) == count
        (category,) = coco.loadCats(coco.getCatIds(['person']))
        assert len(category['keypoints']) == 17
        assert np.array(category['skeleton']).min() == 1
        assert np.array(category['skeleton']).max() == 17
        for entry in coco.loadImgs(coco.getImgIds())[:10]:
            image = cv2.imread(str(images / entry['file_name']))
            assert image.shape == (entry['height'], entry['width'], 3)
            assert image.std() > 5
        people = coco.loadAnns(coco.getAnnIds())
        assert len(people) > 1.2 * count
        v = np.array([p['keypoints'] for p in people])[:, 2::3]
        for value, low, high in ((0, 0.03, 0.25), (1, 0.03, 0.25), (2, 0.6, 0.9)):
            assert low < (v == value).mean() < high, value
        for person in people:
            entry = coco.loadImgs(person['image_id'])[0]
            k = np.array(person['keypoints']).reshape(17, 3)
            labelled = k[:, 2] > 0
            x, y, w, h = person['bbox']
            assert person['num_keypoints'] == labelled.sum()
            assert set(k[:, 2]) <= {0, 1, 2}
            assert (k[~labelled] == 0).all()
            assert min(x, y) >= 0
            assert min(w, h) > 0
            assert x + w <= entry['width'] - 1 + 0.02
            assert y + h <= entry['height'] - 1 + 0.02
            low, high = k[labelled, :2].min(0), k[labelled, :2].max(0)
            assert (low >= np.array([x, y]) - 0.02).all()
            assert (high <= np.array([x + w, y + h]) + 0.02).all()
            assert 0 < person['area'] < (w + 2) * (h + 2)
            assert person['iscrowd'] == 0
            assert coco.annToMask(person).sum() == pytest.approx(person['area'], rel=0.3, abs=60)


def test_mmpose_reads_it(drawn):
    from mmpose.datasets import CocoDataset

    with contextlib.redirect_stdout(io.StringIO()):
        dataset = CocoDataset(
            data_root=str(drawn.root),
            ann_file='annotations/train.json',
            data_prefix={'img': 'images/train/'},
            data_mode='topdown',
            test_mode=True,
        )
    assert len(dataset) == len(load(drawn.train_json).getAnnIds())
    item = dataset[0]
    assert item['keypoints'].shape == (1, 17, 2)
    assert cv2.imread(item['img_path']) is not None


def test_the_mean_pose_does_not_solve_it(drawn):
    assert mean_pose_baseline(drawn.train_json, drawn.val_json) < 0.05


def test_the_baseline_recognises_a_trivial_set(drawn, tmp_path):
    """Every person in one and the same pose: the mean pose is that pose and AP is 1."""
    table = json.loads(drawn.train_json.read_text())
    pose = np.random.default_rng(0).uniform(0, 1, (17, 2))
    for person in table['annotations']:
        x, y, w, h = person['bbox']
        k = np.concatenate([pose * (w, h) + (x, y), np.full((17, 1), 2)], axis=1)
        person.update(keypoints=k.reshape(-1).tolist(), num_keypoints=17)
    path = tmp_path / 'same.json'
    path.write_text(json.dumps(table))
    np.testing.assert_allclose(mean_pose(path), pose, atol=1e-9)
    assert mean_pose_baseline(path, path) == pytest.approx(1.0)


# --- same request, same bytes -----------------------------------------------------------


def test_bytes_depend_neither_on_workers_nor_on_later_images(small, tmp_path):
    # OpenCV's threads of this process must not hang the forked workers.
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 0)
    other = write_dataset(tmp_path / 'two', 6, 4, seed=1, config=SMALL, workers=2)
    assert digests(small.root) == digests(other.root)
    longer = digests(write_dataset(tmp_path / 'long', 8, 4, seed=1, config=SMALL).root)
    for name, digest in digests(small.root).items():
        assert not name.endswith('.jpg') or longer[name] == digest


# --- reuse and replacement --------------------------------------------------------------


def test_a_complete_set_is_reused(small, monkeypatch):
    monkeypatch.setattr(writer_module, 'draw_image', None)  # drawing would fail
    again = write_dataset(small.root, 6, 4, seed=1, config=SMALL.to_dict())
    assert (small.reused, again.reused) == (False, True)
    assert replace(again, reused=False) == small


@pytest.mark.parametrize('damage', ['image', 'empty image', 'json', 'half json', 'stamp'])
def test_an_incomplete_set_is_drawn_again(small, damage):
    before = digests(small.root)
    image, stamp = small.val_images / '000002.jpg', small.root / 'dataset.json'
    if damage == 'empty image':
        image.write_bytes(b'')
    elif damage == 'half json':
        small.train_json.write_text(small.train_json.read_text()[:500])
    else:
        {'image': image, 'json': small.train_json, 'stamp': stamp}[damage].unlink()
    again = write_dataset(small.root, 6, 4, seed=1, config=SMALL)
    assert not again.reused
    assert digests(small.root) == before
    assert [p.name for p in small.root.parent.iterdir()] == [small.root.name]


@pytest.mark.parametrize(
    'change', [{'seed': 2}, {'num_train': 5}, {'config': replace(SMALL, noise=1.0)}, {}]
)
def test_another_request_replaces_the_set(small, change, monkeypatch):
    kwargs = {'num_train': 6, 'num_val': 4, 'seed': 1, 'config': SMALL, **change}
    if not change:
        monkeypatch.setattr(writer_module, 'GENERATOR_VERSION', 10**6)
    again = write_dataset(small.root, **kwargs)
    assert not again.reused
    assert len(list(again.train_images.iterdir())) == kwargs['num_train']


def test_an_interrupted_run_leaves_the_old_set_and_no_traces(small):
    before = digests(small.root)

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(small.root, 6, 4, seed=9, config=SMALL, progress=interrupt)
    assert digests(small.root) == before
    assert [p.name for p in small.root.parent.iterdir()] == [small.root.name]


def test_other_peoples_folders_stay_untouched(tmp_path):
    folder = tmp_path / 'coco'
    (folder / 'annotations').mkdir(parents=True)
    (folder / 'annotations' / 'train.json').write_text('{"info": {"description": "COCO 2017"}}')
    before = digests(folder)
    with pytest.raises(UserError, match='stays untouched'):
        write_dataset(folder, 2, 2, seed=0, config=SMALL)
    assert digests(folder) == before


@pytest.mark.parametrize('bad', [{'num_train': 0}, {'seed': -1}, {'workers': 0}, {'config': 3}])
def test_bad_numbers_are_refused(tmp_path, bad):
    kwargs = {'num_train': 1, 'num_val': 1, 'seed': 0, **bad}
    with pytest.raises(UserError, match=next(iter(bad))):
        write_dataset(tmp_path / 'x', **kwargs)
    assert not (tmp_path / 'x').exists()
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='Choose another folder'):
        write_dataset(tmp_path / 'file' / 'set', 1, 1, seed=0, config=SMALL)


# --- contact sheet ----------------------------------------------------------------------


def test_contact_sheet(small, tmp_path):
    out = contact_sheet(small.train_json, small.train_images, tmp_path / 'a' / 's.png', n=6)
    sheet = cv2.imread(str(out))
    assert sheet.shape[1] % 320 == 0
    blank = tmp_path / 'blank.json'
    table = json.loads(small.train_json.read_text())
    blank.write_text(json.dumps({**table, 'annotations': []}))
    plain = cv2.imread(str(contact_sheet(blank, small.train_images, tmp_path / 'plain.png', n=6)))
    assert (sheet != plain).any(-1).sum() > 2000
    for annotations, images, n, message in (
        (small.train_json, tmp_path, 1, 'missing or no image'),
        (tmp_path / 'none.json', tmp_path, 1, 'not a readable COCO file'),
        (small.train_json, small.train_images, 0, 'n must be'),
    ):
        with pytest.raises(UserError, match=message):
            contact_sheet(annotations, images, tmp_path / 's.png', n=n)
