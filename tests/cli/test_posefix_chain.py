"""``rlepose posefix prepare``, training, test and demo as one chain on drawn people."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from coco_folder import write_coco_folder

from rlepose_ext.cli.main import main

CONFIG = 'configs/posefix/posefix_res50_2xb16-140e_coco-256x192.py'
MODEL = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
SMALL = ['model.backbone.init_cfg=None', 'model.backbone.depth=18']
SMALL += ['model.backbone.stem_channels=16', 'model.backbone.base_channels=16']
SMALL += ['model.head.in_channels=128', 'model.head.deconv_out_channels=(16,16,16)']
SMALL += ['train_dataloader.batch_size=4', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
SMALL += [f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')]
SMALL += [f'{split}_dataloader.persistent_workers=False' for split in ('train', 'val', 'test')]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_coco_folder(tmp_path_factory.mktemp('data'), 8, 4)


@pytest.fixture(scope='module')
def checkpoint(root, tmp_path_factory):
    """Random weights of the model whose poses are corrected."""
    import torch
    from mmpose.apis import init_model

    torch.manual_seed(0)
    model = init_model(str(root / MODEL), device='cpu')
    path = tmp_path_factory.mktemp('model') / 'model.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return str(path)


def run(root, data, *command):
    done = subprocess.run(
        [sys.executable, '-m', *map(str, command)],
        cwd=root,
        env={**os.environ, 'RLEPOSE_DATA': str(data), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_prepare_train_test_demo(root, data, checkpoint, tmp_path):
    cli = 'rlepose_ext.cli.main'
    boxes = data / 'coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
    said = run(root, data, cli, 'posefix', 'prepare', MODEL, checkpoint, '--boxes', boxes)
    poses = {
        split: json.loads((data / f'coco/input_poses/{split}2017.json').read_text())
        for split in ('train', 'val')
    }
    truth = json.loads((data / 'coco/annotations/person_keypoints_train2017.json').read_text())
    labelled = [p for p in truth['annotations'] if p['num_keypoints']]
    assert len(poses['train']) == len(labelled)
    assert f'train: {len(labelled)} poses' in said
    assert {len(pose['keypoints']) for pose in poses['val']} == {51}

    train = ['mim', 'train', 'mmpose', CONFIG, '--work-dir', tmp_path / 'work']
    run(root, data, *train, '--cfg-options', *SMALL)
    trained = tmp_path / 'work/epoch_1.pth'
    assert trained.is_file()
    out = tmp_path / 'metrics.json'
    test = ['mim', 'test', 'mmpose', CONFIG, '-C', trained, '--work-dir', tmp_path / 'test']
    said = run(root, data, *test, '--out', out, '--cfg-options', *SMALL)
    metrics = json.loads(out.read_text())
    assert {'coco/AP', 'input/AP'} <= set(metrics)
    assert all(re.search(rf'{name}: \d', said) for name in ('coco/AP', 'input/AP'))

    # what the demo runs is the config with its weights
    from mmengine.config import Config, DictAction

    config = Config.fromfile(root / CONFIG)
    options = [option.partition('=')[::2] for option in SMALL if option.startswith('model')]
    config.merge_from_dict({k: DictAction._parse_iterable(v) for k, v in options})
    config.dump(tmp_path / 'small.py')
    picture = next((data / 'coco/val2017').glob('*.jpg'))
    command = ['demo', picture, '--det', 'full', '--pose', MODEL, checkpoint]
    command += ['--refine', tmp_path / 'small.py', trained, '--output-root', tmp_path / 'drawn']
    said = run(root, data, cli, *command, '--save', 'image', 'csv')
    assert (tmp_path / 'drawn' / picture.name).is_file()


@pytest.mark.slow
def test_input_ap_is_that_of_the_model(root, data, tmp_path, monkeypatch):
    """Before the correction AP is that of the poses that were given: here of the truth."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    monkeypatch.setenv('RLEPOSE_DATA', str(data))
    truth = json.loads((data / 'coco/annotations/person_keypoints_val2017.json').read_text())
    poses = []
    for person in truth['annotations']:
        joints = np.array(person['keypoints'], float).reshape(-1, 3)
        joints[joints[:, 2] == 0, :2] = joints[joints[:, 2] > 0, :2].mean(0)
        joints[:, 2] = 1
        entry = {'image_id': person['image_id'], 'category_id': 1, 'score': 0.5}
        poses.append({**entry, 'keypoints': joints.ravel().tolist()})
    (tmp_path / 'truth.json').write_text(json.dumps(poses))
    config = Config.fromfile(root / CONFIG)
    options = [option.partition('=')[::2] for option in SMALL if option.startswith('model')]
    config.merge_from_dict({k: int(v) if v.isdigit() else None for k, v in options[:-1]})
    config.model.head.deconv_out_channels = (16, 16, 16)
    config.model.test_cfg.keep_within = 0
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    config.test_dataloader.dataset.pose_file = str(tmp_path / 'truth.json')
    config.work_dir, config.experiment_name = str(tmp_path), 'input_ap'
    metrics = Runner.from_cfg(config).test()
    assert metrics['input/AP'] == pytest.approx(1)
    assert metrics['coco/AP'] < 0.5


def test_mistakes(root, data, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('RLEPOSE_DATA', str(tmp_path))
    monkeypatch.chdir(root)
    prepare = ['posefix', 'prepare']
    wrong = [
        ([MODEL, 'none.pth'], 'none.pth does not exist'),
        ([MODEL, checkpoint, '--for', MODEL], 'pose_file'),
        ([MODEL, checkpoint, '--boxes', 'none.json'], 'none.json does not exist'),
        (['configs/movenet/movenet_multipose_8xb16-140e_coco-384x384.py', checkpoint], 'top-down'),
    ]
    for arguments, said in wrong:
        assert main([*prepare, *arguments]) == 2
        assert said in capsys.readouterr().err
    written = tmp_path / 'coco/input_poses/val2017.json'
    written.parent.mkdir(parents=True)
    written.write_text('[]')
    assert main([*prepare, MODEL, checkpoint]) == 2
    assert '--force' in capsys.readouterr().err
