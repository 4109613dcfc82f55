"""``data/...`` in MMPose's configs means ``$RLEPOSE_DATA/...``."""

import copy

import pytest
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

from rlepose_ext.data_paths import move_data, move_path

ROOT = '/elsewhere/sets'
STOCK = 'mmpose::body_2d_keypoint/'


@pytest.mark.parametrize(('path', 'moved'), [
    ('data/coco/', '/elsewhere/sets/coco/'),
    ('data', '/elsewhere/sets'),
    ('./data/coco', '/elsewhere/sets/coco'),
    ('file://data/mpii/a.mat', 'file:///elsewhere/sets/mpii/a.mat'),
    ('database/coco', 'database/coco'),
    ('my/data/coco', 'my/data/coco'),
    ('/data/coco', '/data/coco'),
    ('https://data/x.json', 'https://data/x.json'),
])  # fmt: skip
@pytest.mark.parametrize('slash', ['', '/'])
def test_one_path(path, moved, slash):
    assert move_path(path, ROOT + slash) == moved
    assert move_path(moved, ROOT + slash) == moved
    if path == 'data/coco/':  # a root below data/ is entered once
        assert move_path('data/big/coco/', 'data/big') == 'data/big/coco/'


def leaf(tmp_path, base):
    path = tmp_path / 'leaf.py'
    path.write_text(f"_base_ = '{STOCK}{base}'\ncustom_imports = dict(imports=['rlepose_ext'])\n")
    return Config.fromfile(path)


# In other places than COCO's: head boxes of MPII, data/ alone, data sets of several parts.
STOCK_PATHS = [
    ('topdown_heatmap/mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py',
     lambda c: c.val_dataloader.dataset.headbox_file, 'mpii/annotations/mpii_gt_val.mat'),
    ('yoloxpose/coco/yoloxpose_s_8xb32-300e_coco-640.py',
     lambda c: c.train_dataloader.dataset.data_root, ''),
    ('topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-merge.py',
     lambda c: c.train_dataloader.dataset.datasets[1].data_root, 'aic/'),
]  # fmt: skip


@pytest.mark.parametrize(('base', 'pick', 'moved'), STOCK_PATHS)
def test_configs_of_mmpose(tmp_path, base, pick, moved):
    assert pick(move_data(leaf(tmp_path, base), ROOT)) == f'{ROOT}/{moved}'


def test_topdown_coco(tmp_path):
    base = 'topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
    config = leaf(tmp_path, base)
    before = copy.deepcopy(config._cfg_dict.to_dict())
    moved = move_data(config, ROOT)
    assert config._cfg_dict.to_dict() == before, 'the argument was changed'
    assert isinstance(moved, Config)
    for split, year in (('train', 'train2017'), ('val', 'val2017'), ('test', 'val2017')):
        dataset = moved[f'{split}_dataloader'].dataset
        assert dataset.data_root == f'{ROOT}/coco/'
        # joined to data_root by the data set
        assert dataset.ann_file == f'annotations/person_keypoints_{year}.json'
        assert dataset.data_prefix.img == f'{year}/'
        if split != 'train':
            name = 'COCO_val2017_detections_AP_H_56_person.json'
            assert dataset.bbox_file == f'{ROOT}/coco/person_detection_results/{name}'
    for evaluator in (moved.val_evaluator, moved.test_evaluator):
        assert evaluator.ann_file == f'{ROOT}/coco/annotations/person_keypoints_val2017.json'
    assert move_data(moved, ROOT)._cfg_dict.to_dict() == moved._cfg_dict.to_dict()


def test_what_is_moved_and_what_is_not():
    config = {
        'train_dataloader': {
            'dataset': {'ann_file': 'data/a.json', 'data_prefix': {'img': 'data/i'}}
        },
        'val_dataloader': {
            'dataset': {
                'data_root': '/mine',
                'ann_file': 'data/a.json',
                'data_prefix': {'img': 'data/i'},
                'pipeline': [{'type': 'LoadImage', 'note': 'data/is no key for a path'}],
            }
        },
        'test_dataloader': None,
        'test_evaluator': [
            {'type': 'A', 'prefix_file': 'file://data/x.npz', 'outfile_prefix': 'data/results'},
            {'type': 'B', 'files': ('data/1', '2')},
        ],
        'work_dir': 'data/out',
        'load_from': 'data/w.pth',
    }
    moved = move_data(config, ROOT)
    train = moved['train_dataloader']['dataset']
    assert train == {'ann_file': f'{ROOT}/a.json', 'data_prefix': {'img': f'{ROOT}/i'}}
    assert moved['val_dataloader'] == config['val_dataloader']
    assert moved['test_dataloader'] is None
    assert moved['test_evaluator'] == [
        {'type': 'A', 'prefix_file': f'file://{ROOT}/x.npz', 'outfile_prefix': 'data/results'},
        {'type': 'B', 'files': (f'{ROOT}/1', '2')},
    ]
    assert (moved['work_dir'], moved['load_from']) == ('data/out', 'data/w.pth')


@pytest.mark.parametrize('kind', [Runner, FlexibleRunner])
@pytest.mark.parametrize('root', [ROOT, '', None])
def test_a_runner_has_moved_paths(monkeypatch, root, kind):
    monkeypatch.delenv('RLEPOSE_DATA', raising=False)
    if root is not None:
        monkeypatch.setenv('RLEPOSE_DATA', root)
    seen = {}
    monkeypatch.setattr(kind, '__init__', lambda self, **kwargs: seen.update(kwargs))
    loader = {'dataset': {'type': 'CocoDataset', 'data_root': 'data/coco/'}}
    config = Config({'model': {}, 'work_dir': 'out', 'train_dataloader': loader})
    assert isinstance(kind.from_cfg(config), kind)
    expected = f'{root}/coco/' if root else 'data/coco/'
    assert seen['train_dataloader'].dataset.data_root == expected
    assert seen['cfg'].train_dataloader.dataset.data_root == expected
    assert config.train_dataloader.dataset.data_root == 'data/coco/'
