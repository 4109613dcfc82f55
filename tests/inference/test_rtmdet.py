"""RTMDet-tiny of demo/mmdetection_cfg: a forward pass, beside a pose model, and in the chain."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.detectors import MMDetDetector
from rlepose_ext.inference.predictors import TopDown
from rlepose_ext.resources import resource

CONFIG = resource('demo/mmdetection_cfg/rtmdet_tiny_1xb16_synthetic-person.py')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights with a bias that finds persons of 64x96 px on the coarsest map."""
    from mmdet.apis import init_detector

    torch.manual_seed(0)
    model = init_detector(str(CONFIG), device='cpu')
    head = model.bbox_head
    for stride, classify, regress in zip((8, 16, 32), head.rtm_cls, head.rtm_reg, strict=True):
        torch.nn.init.constant_(classify.bias, 1.0 if stride == 32 else -9.0)
        sides = torch.tensor([32.0, 48.0, 32.0, 48.0])  # left, top, right, bottom
        regress.bias.data[:] = sides / stride
    path = tmp_path_factory.mktemp('rtmdet') / 'rtmdet.pth'
    meta = {'dataset_meta': {'classes': ('person',)}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return path


def test_its_maps(checkpoint):
    model = MMDetDetector(CONFIG, checkpoint).model
    assert type(model).__module__ == 'mmdet.models.detectors.rtmdet'
    assert not any(isinstance(part, torch.nn.SyncBatchNorm) for part in model.modules())
    with torch.no_grad():
        scores, sides = model.bbox_head(model.extract_feat(torch.rand(2, 3, 256, 192)))
    for stride, score, side in zip((8, 16, 32), scores, sides, strict=True):
        assert score.shape == (2, 1, 256 // stride, 192 // stride)
        assert side.shape == (2, 4, 256 // stride, 192 // stride)


def test_its_persons_in_px_of_the_image(checkpoint, noise):
    """The network sees 256x154 px of a frame of 480x288: boxes are 480 / 256 times as large."""
    detect = MMDetDetector(CONFIG, checkpoint, nms_thr=0.9)
    assert detect.categories == [0]
    frames = [noise(480, 288), noise(288, 480, 1)]
    for frame, (boxes, scores) in zip(frames, detect(frames, ['a', 'b']), strict=True):
        height, width = frame.shape[:2]
        inner = boxes[(boxes[:, :2] > 1).all(1) & (boxes[:, 2:] < (width - 1, height - 1)).all(1)]
        assert len(boxes) > len(inner) > 0
        sides = inner[:, 2:] - inner[:, :2]
        np.testing.assert_allclose(sides / 1.875, np.tile([64, 96], (len(sides), 1)), rtol=0.2)
        assert ((scores > 0.3) & (scores < 1)).all()


@pytest.mark.parametrize('scope', ['mmdet', pytest.param('mmpose', marks=pytest.mark.slow)])
@pytest.mark.parametrize('order', [('detector', 'pose'), ('pose', 'detector')])
def test_a_pose_model_in_the_same_process(checkpoint, pose, noise, order, scope):
    """Each finds its own classes, whichever comes first and whatever scope the caller is in."""
    frame, models = noise(480, 288), {}
    make = {
        'detector': lambda: MMDetDetector(CONFIG, checkpoint, nms_thr=0.1),
        'pose': lambda: PoseEstimator(*pose, device='cpu'),
    }
    for name in order:
        with DefaultScope.overwrite_default_scope(scope):
            models[name] = make[name]()
    found = []
    with DefaultScope.overwrite_default_scope(scope):
        for _ in range(2):
            ((boxes, scores),) = models['detector']([frame], ['a'])
            found.append(models['pose'](frame, boxes, scores).keypoints)
            assert DefaultScope.get_current_instance().scope_name == scope
    np.testing.assert_array_equal(*found)
    assert found[0].shape == (len(boxes), 17, 2)
    assert len(boxes) > 0
    assert np.isfinite(found[0]).all()
    assert type(models['pose'].model.head).__module__.startswith('rlepose_ext.')
    assert type(models['detector'].model.bbox_head).__module__.startswith('mmdet.')


@pytest.mark.slow
def test_trained_and_in_the_chain(tmp_path, checkpoint, pose):
    """An epoch by the command line, then every step on a drawn video with its truth.

    From weights that find something: whether two iterations from random ones do is chance.
    """
    from _drawn_chain import score_video, write_video

    from rlepose_ext.datasets.synthetic import write_dataset
    from rlepose_ext.inference.engine import Engine, Options
    from rlepose_ext.inference.sources import Source

    small = {'width': [160, 160], 'height': [160, 160]}
    write_dataset(tmp_path / 'data/synthetic', 24, 4, 0, small)
    work = tmp_path / 'work'
    command = [sys.executable, '-m', 'mim', 'train', 'mmdet', str(CONFIG), '--work-dir', str(work)]
    command += ['--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
    command += [f'load_from={checkpoint}', 'randomness.seed=0']
    env = {**os.environ, 'RLEPOSE_DATA': str(tmp_path / 'data')}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert 'coco/bbox_mAP_50' in done.stdout + done.stderr

    detector = MMDetDetector(CONFIG, work / 'epoch_1.pth', bbox_thr=0.0)
    # After two iterations all scores are about that of the bias: the best two boxes will do.
    detector.model.bbox_head.test_cfg.max_per_img = 2
    video, truth = write_video(tmp_path, 0, 10, 2)
    out = tmp_path / 'drawn'
    options = Options(output_root=out, save_predictions=True, tracking='iou')
    chain = Engine(TopDown(detector, PoseEstimator(*pose, device='cpu')), options)
    assert chain.run(Source('video', video)) == 10
    frames = json.loads((out / 'results_2-persons-0.json').read_text())['instance_info']
    assert [frame['frame_id'] for frame in frames] == list(range(1, 11))
    for frame in frames:
        assert 1 <= len(frame['instances']) <= 2
        for person in frame['instances']:
            assert np.isfinite(person['keypoints']).all()
            assert person['track_id'] >= 0
    drawn = cv2.VideoCapture(str(out / '2-persons-0.mp4'))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    scores = score_video(truth, out, '2-persons-0')
    assert scores['frames'] == 10
    assert [person['frames'] for person in scores['people']] == [10, 10]
    assert 0 <= scores['box_ap'] <= scores['box_ap50'] <= 1
