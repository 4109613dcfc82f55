"""``rlepose demo`` with YOLO-Pose, without a detector: pictures, tiny ones too, and a video."""

import cv2
import numpy as np
import pytest
import torch
from demo_case import names, picture, read_clip, results, write_clip
from mmengine.config import Config
from mmpose.apis import init_model

from rlepose_ext.cli.main import main
from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.resources import resource

pytestmark = pytest.mark.slow

CONFIG = resource('configs/yolopose/yolopose_yolov5s6_4xb16-300e_coco-640x640.py')
PHOTOGRAPH = 'data/mmpose_samples/coco/000000000785.jpg'


@pytest.fixture
def model(tmp_path):
    """The config at 128 px, and random weights that find somebody nearly everywhere."""
    config = Config.fromfile(CONFIG)
    config.test_dataloader.dataset.pipeline[1].input_size = (128, 128)
    config.dump(tmp_path / 'small.py')
    torch.manual_seed(0)
    model = init_model(config, device='cpu')
    meta = {'dataset_meta': dict(model.dataset_meta)}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, tmp_path / 'random.pth')
    return ['--pose', 'small.py', 'random.pth', '--device', 'cpu', '--output-root', 'out']


def test_pictures_and_a_video(tmp_path, model):
    drawn, _ = draw_one(0, 'train', 0, SyntheticPeopleConfig())
    cv2.imwrite('drawn.png', drawn)
    cv2.imwrite('tiny.png', picture()[:3, :5])  # smaller than any stride
    write_clip(tmp_path / 'clip.mp4')
    inputs = ['drawn.png', 'tiny.png', 'clip.mp4']
    options = ['--bbox-thr', '0', '--kpt-thr', '0', '--save-predictions']
    assert main(['demo', *inputs, *model, *options]) == 0
    assert {'drawn.png', 'tiny.png', 'clip.mp4'} <= set(names(tmp_path / 'out'))
    for stem in ('drawn', 'tiny'):
        _, coco = results(stem)
        assert len(coco) > 0
        for person in coco:
            assert np.isfinite(person['keypoints']).all()
            assert np.shape(person['keypoints']) == (51,)
    assert len(read_clip('out/clip.mp4')[0]) == 6


def test_a_photograph(tmp_path, model, shared):
    photograph = str(shared / PHOTOGRAPH)
    assert main(['demo', photograph, *model, '--bbox-thr', '0']) == 0
    assert '000000000785.jpg' in names(tmp_path / 'out')
    # nobody is as likely as that, and that is no error
    assert main(['demo', photograph, *model, '--output-root', 'none', '--bbox-thr', '0.9']) == 0
