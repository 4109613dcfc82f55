"""The documented commands on a miniature data set: train, resume, test, and what goes wrong."""

import json
import os
import subprocess
import sys

import pytest
from coco_folder import write_coco_folder

pytestmark = pytest.mark.slow

CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
SMALL = ['model.backbone.init_cfg=None', 'train_dataloader.batch_size=4']
SMALL += ['train_cfg.val_interval=1']
SMALL += [f'{split}_dataloader.num_workers=1' for split in ('train', 'val', 'test')]
SMALL += ['default_hooks.checkpoint.interval=1']


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Drawn people in the folders and files of COCO, detections included."""
    return write_coco_folder(tmp_path_factory.mktemp('data'), 12, 4)


def run(root, data, *command, **env):
    return subprocess.run(
        [sys.executable, '-m', *map(str, command)],
        cwd=root,
        env={**os.environ, 'RLEPOSE_DATA': str(data), 'OMP_NUM_THREADS': '1', **env},
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_mim_trains_resumes_and_tests(root, data, tmp_path):
    work_dir = tmp_path / 'work'
    train = ['mim', 'train', 'mmpose', CONFIG, '--work-dir', work_dir]
    first = run(root, data, *train, '--cfg-options', *SMALL, 'train_cfg.max_epochs=1')
    assert first.returncode == 0, first.stderr[-3000:]
    assert (work_dir / 'epoch_1.pth').is_file()

    second = run(root, data, *train, '--resume', '--cfg-options', *SMALL, 'train_cfg.max_epochs=2')
    assert second.returncode == 0, second.stderr[-3000:]
    assert 'resumed epoch: 1' in second.stdout
    checkpoint = work_dir / 'epoch_2.pth'

    out = tmp_path / 'metrics.json'
    test = ['mim', 'test', 'mmpose', CONFIG, '-C', checkpoint, '--work-dir', tmp_path / 'test']
    tested = run(root, data, *test, '--out', out, '--cfg-options', *SMALL)
    assert tested.returncode == 0, tested.stderr[-3000:]
    assert 0 <= json.loads(out.read_text())['coco/AP'] <= 1


def test_two_cpu_processes_without_editing_a_config(root, data, tmp_path):
    command = ['rlepose_ext.cli.main', 'train', CONFIG, '--launcher', 'pytorch', '--gpus', '2']
    command += ['--work-dir', tmp_path, '--cfg-options', *SMALL, 'train_cfg.max_epochs=1']
    done = run(root, data, *command, CUDA_VISIBLE_DEVICES='')
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'No GPU: 2 processes run on the CPU and communicate over gloo' in done.stdout
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_an_image_that_breaks_later_costs_at_most_the_epoch(root, data, tmp_path):
    train = ['rlepose_ext.cli.main', 'train', CONFIG, '--work-dir', tmp_path, '--resume']
    options = ['--cfg-options', *SMALL, 'train_cfg.max_epochs=2']
    first = run(root, data, *train, *options[:-1], 'train_cfg.max_epochs=1')
    assert first.returncode == 0, first.stderr[-3000:]

    image = next((data / 'coco/train2017').glob('*.jpg'))
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    try:
        broken = run(root, data, *train, *options)
    finally:
        image.write_bytes(whole)
    assert broken.returncode == 2
    assert image.name in broken.stderr
    assert (tmp_path / 'epoch_1.pth').is_file()

    mended = run(root, data, *train, *options)
    assert mended.returncode == 0, mended.stderr[-3000:]
    assert (tmp_path / 'epoch_2.pth').is_file()


@pytest.mark.parametrize('front_door', ['mim', 'rlepose'])
def test_broken_annotations_end_in_one_clear_error(root, tmp_path, front_door):
    annotations = tmp_path / 'coco/annotations'
    annotations.mkdir(parents=True)
    file = annotations / 'person_keypoints_train2017.json'
    (annotations / 'person_keypoints_val2017.json').touch()
    boxes = tmp_path / 'coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
    boxes.parent.mkdir()
    boxes.touch()
    file.write_text('{"images": []}')
    command = {'mim': ['mim', 'train', 'mmpose'], 'rlepose': ['rlepose_ext.cli.main', 'train']}
    arguments = [CONFIG, '--work-dir', tmp_path / 'work', '--cfg-options', *SMALL]
    done = run(root, tmp_path, *command[front_door], *arguments)
    assert done.returncode == (2 if front_door == 'rlepose' else 1)
    lines = [line for line in done.stderr.splitlines() if str(file) in line]
    assert lines
    assert 'annotations' in lines[-1]
    if front_door == 'rlepose':
        assert 'Traceback' not in done.stderr
        assert lines[-1].startswith('rlepose: error:')


def test_checkpoint_of_another_model_is_refused(root, data, tmp_path):
    import torch

    checkpoint = tmp_path / 'other.pth'
    torch.save({'state_dict': {'backbone.conv9.weight': torch.zeros(3)}}, checkpoint)
    command = ['rlepose_ext.cli.main', 'test', CONFIG, '-C', checkpoint, '--work-dir', tmp_path]
    done = run(root, data, *command, '--cfg-options', *SMALL)
    assert done.returncode == 2
    assert str(checkpoint) in done.stderr
    assert 'backbone.conv9.weight' in done.stderr
    assert 'Traceback' not in done.stderr
