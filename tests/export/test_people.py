"""Exported models that find everybody: decoding, whole pictures, and files of the other kind."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import init_model
from mmpose.models.heads.hybrid_heads import YOLOXPoseHead

from rlepose_ext import Pose
from rlepose_ext.cli.main import main
from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.errors import UserError
from rlepose_ext.inference.choose import build_pose
from rlepose_ext.runtime import OnnxPeople, OnnxPose
from rlepose_ext.zoo import find

pytest.importorskip('onnxscript', reason='needs the extra [export]')
pytest.importorskip('onnxruntime', reason='needs the extra [export]')

from rlepose_ext.export.onnx import export_onnx
from rlepose_ext.export.people import MultiPoseDecoder

sys.path.insert(0, str(Path(__file__).parents[1]))
from movenet_weights import model_json

SIDE = 128
YOLOX = 'yoloxpose_cspdarknet-s'
MULTIPOSE = 'movenet-multipose'


@torch.no_grad()
def scale_heads(head):
    """Random weights that find persons, with boxes of sensible sizes."""
    if isinstance(head, YOLOXPoseHead):
        for parameter in head.parameters():
            parameter.mul_(0.1)  # sizes of boxes are exponentials
        return
    for name in head.parts(17):
        last = getattr(head, name)[-1]
        torch.nn.init.normal_(last.weight, std=0.5)
        torch.nn.init.constant_(last.bias, 6.0 if name == 'box_size' else 0.0)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """By name: config, random checkpoint, and the exported file."""
    folder, found = tmp_path_factory.mktemp('people'), {}
    for name in (YOLOX, MULTIPOSE):
        config = Config.fromfile(find(name).path)
        config.model.backbone.pop('init_cfg', None)
        for step in config.test_dataloader.dataset.pipeline:
            if 'input_size' in step:
                step.input_size = (SIDE, SIDE)
        torch.manual_seed(0)
        model = init_model(config, device='cpu')
        scale_heads(model.head)
        path = folder / f'{name}.py'
        config.dump(path)
        meta = {'dataset_meta': dict(model.dataset_meta)}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, path.with_suffix('.pth'))
        found[name] = (str(path), str(path.with_suffix('.pth')), path.with_suffix('.onnx'))
        assert main(['export', *found[name][:2], '--out', str(found[name][2])]) == 0
    return found


def test_multipose_decoding_is_the_codec_s():
    """On random maps of another shape than the training's."""
    config = Config.fromfile(find(MULTIPOSE).path)
    config.model.backbone.pop('init_cfg', None)
    head = init_model(config, device='cpu').head
    generator = torch.Generator().manual_seed(1)

    def draw(channels, scale=1.0):
        return scale * torch.randn(6, channels, 16, 24, generator=generator)

    maps = (draw(17, 2), draw(1, 2), draw(34, 3), draw(34), draw(2, 8).abs() + 4, draw(2))
    found = MultiPoseDecoder(head)(maps)
    expected = zip(*head.decoder.decode_persons(*head.activate(maps)), strict=True)
    expected = [np.stack(each) for each in expected]
    assert (expected[3] > 0).sum() > 20
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('name', [YOLOX, MULTIPOSE])
def test_persons_are_those_of_the_checkpoint(models, name):
    """Two pictures of different proportions, through resizing, batches and suppression."""
    config, checkpoint, file = models[name]
    pictures = [draw_one(0, 'val', i, SyntheticPeopleConfig())[0] for i in (5, 6)]
    pictures[1] = np.ascontiguousarray(pictures[1][:, :60])
    model = build_pose([config, checkpoint], 'cpu', bbox_thr=1e-4)
    exported = OnnxPeople(file, 'cpu', bbox_thr=1e-4)
    for ours, theirs in zip(exported.predict(pictures), model.predict(pictures), strict=True):
        # the checkpoint's side may keep more of those with the lowest scores
        assert 0 < len(ours) <= len(theirs)
        order = [int(np.abs(theirs.keypoints - p).sum((1, 2)).argmin()) for p in ours.keypoints]
        assert len(set(order)) == len(order)
        apart = np.abs(ours.keypoints - theirs.keypoints[order]).max((1, 2))
        assert np.mean(apart < 0.01) > 0.95
        np.testing.assert_allclose(ours.box_scores, theirs.box_scores[order], atol=1e-4)


@pytest.mark.slow
def test_google_s_multipose_on_a_photograph(shared, tmp_path):
    model_json('multipose')
    done = export_onnx(MULTIPOSE, None, tmp_path / 'people.onnx')
    assert {each.what: each.largest for each in done.differences}['keypoints'] < 0.05
    picture = cv2.imread(str(shared / 'data/mmpose_samples/coco/000000197388.jpg'))
    (expected,) = build_pose([MULTIPOSE], 'cpu').predict([picture])
    (found,) = Pose(tmp_path / 'people.onnx')(picture)
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=0.1)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


@pytest.mark.slow
def test_as_a_detector_of_the_demo(models, exported, tmp_path):
    picture = tmp_path / 'drawn.png'
    cv2.imwrite(str(picture), draw_one(0, 'val', 1, SyntheticPeopleConfig())[0])
    pair = ['--det', str(models[MULTIPOSE][2]), '--pose', str(exported.path)]
    assert main(['demo', str(picture), *pair, '--output-root', str(tmp_path / 'out')]) == 0
    assert list((tmp_path / 'out').rglob('drawn*'))


@pytest.mark.slow
def test_files_of_the_other_kind(models, exported):
    with pytest.raises(UserError, match='takes pictures'):
        OnnxPose(models[YOLOX][2])
    with pytest.raises(UserError, match='takes crops'):
        OnnxPeople(exported.path)


@pytest.mark.slow
def test_what_cannot_be_exported(models, tmp_path):
    config = Config.fromfile(models[YOLOX][0])
    for step in config.test_dataloader.dataset.pipeline:
        if 'input_size' in step:
            step.resize_mode = 'expand'
    with pytest.raises(UserError, match='resize_mode'):
        export_onnx(config, models[YOLOX][1], tmp_path / 'model.onnx')
    with pytest.raises(UserError, match='layout'):
        export_onnx(*models[MULTIPOSE][:2], tmp_path / 'model.onnx', layout='rtmlib')
    assert not list(tmp_path.iterdir())
