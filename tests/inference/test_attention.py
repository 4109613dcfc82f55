"""Where joints look: attention lies where its patch lies in the picture; pages; what has none."""

import cv2
import numpy as np
import pytest
import torch
from random_weights import POSE, random_checkpoint

from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.attention import LINE, TILE, AttentionSheet
from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.predictors import TopDown
from rlepose_ext.resources import resource

CONFIG = str(resource('configs/tokenpose/tokenpose_tiny_1xb16-8e_synthetic-96x72.py'))
FRAME, BOX = (120, 160, 3), [40, 10, 94, 82]  # height, width; the box has the crop's proportions


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return random_checkpoint(CONFIG, tmp_path_factory.mktemp('weights') / 'random.pth')


@pytest.fixture(scope='module')
def estimate(checkpoint):
    return PoseEstimator(CONFIG, checkpoint, device='cpu')


def picture():
    rough = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(rough, FRAME[1::-1], interpolation=cv2.INTER_CUBIC)


def test_attention_of_a_batch_is_that_of_each_person(estimate):
    boxes = np.array([BOX, [0, 0, 160, 120], [30, 20, 60, 60]], np.float32)
    shares, crops = estimate.attention(picture(), boxes)
    assert shares.shape == (3, 6, 17, 12, 9)
    assert len(crops.centers) == 3
    alone, _ = estimate.attention(picture(), boxes[1:2])
    np.testing.assert_allclose(shares[1:2], alone, atol=1e-6)
    assert 0 < shares.sum((-1, -2)).max() < 1


@pytest.mark.parametrize('patch', [(0, 0), (3, 7), (11, 8)])  # row, column
def test_a_look_lies_on_its_patch(estimate, monkeypatch, patch):
    """The box is enlarged by MMPose's padding of 1.25; each patch is a twelfth of its height."""

    def attention(head, feats):
        found = torch.full((1, 6, 17, 12, 9), 0.001)
        found[..., *patch] = 0.5
        return found

    monkeypatch.setattr(type(estimate.model.head), 'attention', attention)
    pose = estimate(picture(), [BOX])
    sheet = AttentionSheet(TopDown(None, estimate))
    looks = sheet._looks(picture(), pose)
    assert looks.shape == (17, 120, 160)
    y, x = np.unravel_index(looks[5].argmax(), looks[5].shape)
    centre, size = np.array([67, 46]), 1.25 * np.array([54, 72])
    expected = centre - size / 2 + (np.array(patch[::-1]) + 0.5) * size / [9, 12]
    np.testing.assert_allclose([x, y], expected, atol=1)
    assert looks.max() <= 1


def test_pages_of_a_frame_have_one_size_and_a_tile_for_each_joint(estimate):
    sheet = AttentionSheet(TopDown(None, estimate), Style(kpt_thr=0.0))
    frame = picture()
    pages = [sheet(frame.copy(), estimate(frame, boxes)) for boxes in ([], [BOX], [BOX, BOX])]
    height = round(TILE * 120 / 160)
    # 18 tiles of 4 to 3 on a page of about 3 to 2
    assert [page.shape for page in pages] == [(4 * (height + LINE), 5 * TILE, 3)] * 3
    nobody, one, _ = pages
    tile = np.s_[LINE : LINE + height, TILE : 2 * TILE]
    assert one[tile].astype(int).sum() > nobody[tile].astype(int).sum()


def test_joints_without_a_place_are_not_marked(estimate):
    pose = estimate(picture(), [BOX])
    pose.keypoints[:] = np.nan
    assert AttentionSheet(TopDown(None, estimate), Style(kpt_thr=0.0))(picture(), pose).any()


def test_the_command(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('a.png', picture())
    command = ['demo', 'a.png', '--det', 'full', '--device', 'cpu', '--draw-attention']
    assert main([*command, '--pose', CONFIG, checkpoint, '--output-root', 'out']) == 0
    assert cv2.imread('out/a.png').shape == (4 * (180 + LINE), 5 * TILE, 3)
    other = random_checkpoint(POSE, tmp_path / 'rle.pth')
    assert main([*command, '--pose', POSE, other, '--output-root', 'none']) == 2
    said = capsys.readouterr().err
    assert '--draw-attention: expected a model with keypoint tokens' in said
    assert 'RLEHead' in said
    assert not (tmp_path / 'none').exists()


def test_a_model_that_finds_everybody_has_none():
    with pytest.raises(UserError, match='keypoint tokens'):
        AttentionSheet(object())
