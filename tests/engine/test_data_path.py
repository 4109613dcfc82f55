"""Samples of the faster data path are those of stock MMPose, to the last bit."""

import copy
import json
import os
import random
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from mmpose.datasets.datasets.base import base_coco_style_dataset
from mmpose.datasets.transforms import common_transforms, formatting, loading, topdown_transforms
from mmpose.registry import DATASETS
from mmpose.structures.bbox import get_udp_warp_matrix, get_warp_matrix
from scipy.stats import truncnorm

from rlepose_ext.engine import image_cache
from rlepose_ext.engine.data_path import copied, shifted_hsv, truncated_normal, warp_affine
from rlepose_ext.errors import UserError

CONFIGS = {
    'rle': 'rle/rle_res50_8xb64-210e_coco-256x192.py',
    'simcc': 'simcc/simcc_mobilenetv2-100_8xb64-210e_coco-256x192.py',
    'heatmap': 'hrnet/heatmap_hrnet-w32-udp_8xb64-210e_coco-256x192.py',
    'skps': 'skps/td-hm_hrnetv2-w18_skps-1xb64-80e_wflw-256x256.py',
}
PICTURES = 3


@pytest.fixture
def stock(monkeypatch):
    """MMPose without the functions of the data path."""

    def undo():
        box, hsv = common_transforms.RandomBBoxTransform, common_transforms.YOLOXHSVRandomAug
        monkeypatch.setattr(base_coco_style_dataset, 'deepcopy', copy.deepcopy)
        monkeypatch.setattr(topdown_transforms, 'cv2', cv2)
        monkeypatch.setattr(hsv, 'transform', hsv.transform.__wrapped__)
        monkeypatch.setattr(
            BaseDataElement, 'set_metainfo', BaseDataElement.set_metainfo.__wrapped__
        )
        monkeypatch.setattr(formatting, 'image_to_tensor', formatting.image_to_tensor.__wrapped__)
        monkeypatch.setattr(
            box,
            '_truncnorm',
            staticmethod(lambda size: truncnorm.rvs(-1, 1, size=size).astype(np.float32)),
        )

    return undo


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The switched-on cache's folder, on a disk as full as it may be."""
    path = tmp_path / 'cache'
    path.mkdir()
    monkeypatch.setenv('RLEPOSE_IMAGE_CACHE', str(path))
    monkeypatch.setattr(image_cache, 'LEAST_FREE', 0)
    return path


@pytest.fixture
def folder(tmp_path):
    """Noise, in which every pixel counts; persons that lie partly outside, of 17 and 98 joints."""
    rng = np.random.default_rng(1)
    for joints in (17, 98):
        images, annotations = [], []
        for number in range(PICTURES):
            width, height = map(int, rng.integers(60, 200, 2))
            noise = rng.integers(0, 256, (height, width, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f'{joints}-{number}.jpg'), noise)
            name = f'{joints}-{number}.jpg'
            images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
            points = rng.uniform((-3, 0), (width * 0.8, height), (joints, 2))
            annotations.append(
                {
                    'id': number,
                    'image_id': number,
                    'category_id': 1,
                    'bbox': [5.5, 7.25, width / 2, height - 9],
                    'area': 400.0,
                    'num_keypoints': joints,
                    'keypoints': np.insert(points, 2, 2, axis=1).ravel().tolist(),
                    'segmentation': [[1.0, 2.0, 3.5, 4.0, 5.0, 6.0]],
                    'center': [width / 3, height / 2],
                    'scale': 0.4,
                }
            )
        content = {
            'images': images,
            'annotations': annotations,
            'categories': [{'id': 1, 'name': 'person'}],
        }
        (tmp_path / f'{joints}.json').write_text(json.dumps(content))
    return tmp_path


def samples(root, folder, method):
    """Two epochs of all that a sample holds, by name."""
    settings = Config.fromfile(root / 'configs' / CONFIGS[method]).train_dataloader.dataset
    ann_file = f'{98 if method == "skps" else 17}.json'
    settings.update(data_root=str(folder), ann_file=ann_file, data_prefix={'img': ''})
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(settings)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    for number in range(8 * PICTURES):
        packed = dataset[number % PICTURES]
        yield {'inputs': packed['inputs'], **flat(packed['data_samples'])}


def flat(element):
    found = {}
    for key, value in element.all_items():
        found |= flat(value) if isinstance(value, BaseDataElement) else {key: value}
    return found


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert type(ours[key]) is type(value), key
        np.testing.assert_equal(np.asarray(ours[key]), np.asarray(value), err_msg=key)


@pytest.mark.parametrize('method', CONFIGS)
def test_samples_are_those_of_stock(root, folder, cache, stock, method, monkeypatch):
    kept = list(samples(root, folder, method))
    assert len(list(cache.glob('*/*.pixels'))) == PICTURES
    monkeypatch.delenv('RLEPOSE_IMAGE_CACHE')
    ours = list(samples(root, folder, method))
    stock()
    flips = set()
    for one, two, theirs in zip(ours, kept, samples(root, folder, method), strict=True):
        assert_equal(one, theirs)
        assert_equal(two, theirs)
        flips.add(theirs['flip'])
    assert flips == {False, True}


def test_warp_of_a_flipped_view():
    rng = np.random.default_rng(0)
    for turn in range(60):
        height, width = rng.integers(5, 300, 2)
        image = rng.integers(0, 256, (height, width, 3), np.uint8)[:, ::-1]
        # from inside the picture to far outside of it
        center = (rng.uniform(-0.5, 1.5, 2) * (width, height)).astype(np.float32)
        scale = np.float32([0.75, 1]) * rng.uniform(2, 400)
        matrix_of = (get_warp_matrix, get_udp_warp_matrix)[turn % 2]
        matrix = matrix_of(center, scale, rng.choice([0, 30, -80]), output_size=(24, 32))
        before = matrix.copy()
        crop = warp_affine(image, matrix, (24, 32), flags=cv2.INTER_LINEAR)
        assert (crop == cv2.warpAffine(image, before, (24, 32), flags=cv2.INTER_LINEAR)).all()
        assert (matrix == before).all()


@pytest.mark.parametrize('gains', [(0, 0, 0), (5, 30, -30), (-4, -29, 12), (179, 255, -255)])
def test_every_colour_is_shifted_as_in_stock(gains):
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    image = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, len(levels), 3)
    transform = common_transforms.YOLOXHSVRandomAug()
    transform._get_hsv_gains = lambda: np.int16(gains)
    theirs = type(transform).transform.__wrapped__(transform, {'img': image.copy()})['img']
    assert (shifted_hsv(image, gains) == theirs).all()


@pytest.mark.parametrize('bounds', [(-1, 1), (-0.2, 2.5)])
def test_normal_numbers_between_bounds(bounds):
    # Apart from one rounding, the same numbers from the same generator.
    np.random.seed(5)  # noqa: NPY002
    theirs = truncnorm.rvs(*bounds, size=(500, 4))
    np.random.seed(5)  # noqa: NPY002
    np.testing.assert_allclose(truncated_normal(*bounds, size=(500, 4)), theirs, rtol=3e-7)


def test_a_copy_shares_nothing_that_can_change():
    value = {'a': [1, (2.5, [None, 'x'])], 'b': np.arange(6).reshape(2, 3).T, 'c': {3: [True]}}
    twin = copied(value)
    assert (twin['a'], twin['c']) == (value['a'], value['c'])
    assert (twin['b'] == value['b']).all()
    assert twin['b'].flags.f_contiguous
    value['a'][1][1].append(4)
    value['b'][0] = 9
    value['c'][3].clear()
    assert twin['a'] == [1, (2.5, [None, 'x'])]
    assert (twin['b'][0] == [0, 3]).all()
    assert twin['c'] == {3: [True]}


def load(path):
    return loading.LoadImage().transform({'img_path': str(path)})


def test_kept_pixels_belong_to_one_state_of_the_file(folder, cache):
    path = folder / 'picture.bmp'  # of one size, whatever the pixels are
    cv2.imwrite(str(path), np.full((4, 6, 3), 10, np.uint8))
    load(path)
    painted = load(path)
    painted['img'][:] = 77
    again = load(path)
    assert (again['img'] == 10).all()
    assert again['img_shape'] == again['ori_shape'] == (4, 6)
    cv2.imwrite(str(path), np.full((4, 6, 3), 20, np.uint8))
    os.utime(path, ns=(1, 1))
    for _ in range(2):
        assert (load(path)['img'] == 20).all()


@pytest.mark.parametrize('left', [0, 8, 12, 3000])
def test_a_damaged_entry_is_made_anew(folder, cache, left):
    expected = load(folder / '17-0.jpg')['img']
    (entry,) = cache.glob('*/*.pixels')
    whole = entry.read_bytes()
    for damaged in (whole[:left], bytes(12), bytes(len(whole))):
        entry.write_bytes(damaged)
        for _ in range(2):
            assert (load(folder / '17-0.jpg')['img'] == expected).all()
            assert entry.read_bytes() == whole


def test_a_cache_of_somebody_else(folder, cache, monkeypatch):
    """Others may read what is written; where one may not write, a warning says so once."""
    expected = load(folder / '17-0.jpg')['img']
    (entry,) = cache.glob('*/*.pixels')
    (folder / 'ordinary').touch()
    assert entry.stat().st_mode == (folder / 'ordinary').stat().st_mode

    def refuse(*args, **kwargs):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(Path, 'replace', refuse)  # root may write anywhere
    assert (load(folder / '17-0.jpg')['img'] == expected).all()
    with pytest.warns(UserWarning, match='cannot be kept .Permission denied.'):
        assert load(folder / '17-1.jpg')['img'].any()
    assert [*cache.rglob('*.*')] == [entry]


def test_what_a_killed_process_has_begun_is_removed(folder, cache):
    old, new = cache / 'a.part', cache / 'b.part'
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    load(folder / '17-0.jpg')
    assert new.exists()
    assert not old.exists()


def test_a_full_disk_keeps_nothing(folder, cache, monkeypatch):
    monkeypatch.setattr(image_cache, 'LEAST_FREE', shutil.disk_usage(cache).total)
    assert load(folder / '17-0.jpg')['img'].ndim == 3
    assert not list(cache.glob('*/*'))


def test_the_folder_must_be_there(folder, monkeypatch):
    monkeypatch.setenv('RLEPOSE_IMAGE_CACHE', str(folder / 'nowhere'))
    with pytest.raises(UserError, match='there is no such folder'):
        load(folder / '17-0.jpg')
