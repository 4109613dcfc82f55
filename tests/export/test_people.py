"""Exported models that find everybody: decoding, whole pictures, and files of the other kind."""

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from export_matrix import scale_heads
from mmengine.config import Config
from mmpose.apis import init_model
from mmpose.datasets.transforms import BottomupResize
from mmpose.registry import MODELS
from PIL import Image

from rlepose_ext import Pose
from rlepose_ext.cli.main import main
from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.errors import UserError
from rlepose_ext.export.onnx import export_onnx
from rlepose_ext.export.people import DEKRDecoder, MultiPoseDecoder
from rlepose_ext.inference.choose import build_pose
from rlepose_ext.inference.in_pictures import views_of
from rlepose_ext.runtime import OnnxPeople, OnnxPose
from rlepose_ext.zoo import find

sys.path.insert(0, str(Path(__file__).parents[1]))
from movenet_weights import model_json

onnx = pytest.importorskip('onnx', reason='needs the extra [export]')
pytest.importorskip('onnxscript', reason='needs the extra [export]')
onnxruntime = pytest.importorskip('onnxruntime', reason='needs the extra [export]')


SIDE = 128
YOLOX = 'yoloxpose_cspdarknet-s'
MULTIPOSE = 'movenet-multipose'
DEKR = 'dekr-rescore_hrnet-w32_8xb10-140e_coco-512x512'
ADAPTIVE = 'adaptivepose_hrnet-w32_8xb8-280e_coco-512x512'
YOLO = 'yolopose_yolov5s6_4xb16-300e_coco-640x640'


def small(name):
    """The config of that name for pictures of :data:`SIDE`, with few layers and no flip test."""
    config = Config.fromfile(find(name).path)
    config.model.backbone.pop('init_cfg', None)
    for stage in dict(config.model.backbone.get('extra') or {}).values():
        stage.update(num_modules=1, num_blocks=(1,) * len(stage.num_blocks))
    (config.model.head.get('rescore_cfg') or {}).pop('init_cfg', None)
    config.model.test_cfg = {**(config.model.get('test_cfg') or {}), 'flip_test': False}
    for step in config.test_dataloader.dataset.pipeline:
        if 'input_size' in step:
            step.input_size = (SIDE, SIDE)
    return config


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """From a name to config, random checkpoint, and the exported file."""
    folder = tmp_path_factory.mktemp('people')

    @cache
    def made(name):
        config = small(name)
        torch.manual_seed(0)
        model = init_model(config, device='cpu')
        scale_heads(model.head)
        path = folder / f'{name}.py'
        config.dump(path)
        meta = {'dataset_meta': dict(model.dataset_meta)}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, path.with_suffix('.pth'))
        found = (str(path), str(path.with_suffix('.pth')), path.with_suffix('.onnx'))
        assert main(['export', *found[:2], '--out', str(found[2])]) == 0
        return found

    return made


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


@pytest.mark.parametrize('distance', [0.0, 0.8])
def test_dekr_decoding_is_the_head_s(distance):
    """With the network that scores again, and with persons that are dropped as repeated."""
    torch.manual_seed(0)
    config = small(DEKR).model
    head = MODELS.build(config.head).eval()
    links = [(i, i + 1) for i in range(16)] + [(0, 5), (5, 11), (0, 16)]
    options = {'nms_dist_thr': distance}
    model = SimpleNamespace(head=head, test_cfg=options, dataset_meta={'skeleton_links': links})
    maps = torch.rand(3, 18, 32, 48), 2 * torch.randn(3, 34, 32, 48)
    with torch.no_grad():
        found = DEKRDecoder(model)(maps)
    counts = []
    for number in range(3):
        keypoints, scores, boxes, box_scores = (each[number].numpy() for each in found)
        expected = head.decode(
            *([each[number][None]] for each in maps), options, {'skeleton_links': links}
        )[0]
        order = expected.keypoint_scores.mean(1).argsort()[::-1]
        counts.append(len(order))
        part = slice(len(order))
        np.testing.assert_allclose(keypoints[part], expected.keypoints[order], atol=1e-3)
        np.testing.assert_allclose(scores[part], expected.keypoint_scores[order], atol=1e-5)
        np.testing.assert_allclose(box_scores[part], scores[part].mean(1), atol=1e-6)
        np.testing.assert_allclose(boxes[part, 2:], keypoints[part].max(1), atol=1e-6)
        assert not box_scores[len(order) :].any()
    assert sum(counts) < 90 if distance else sum(counts) == 90, counts


@pytest.mark.parametrize('size', [(123, 77), (77, 123), (640, 480)])
def test_an_expanded_picture_is_mmpose_s(size):
    picture = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    step = BottomupResize((96, 96), size_factor=32, resize_mode='expand', pad_val=(114, 9, 0))
    expected = step({'img': picture, 'ori_shape': size[::-1]})
    how = {'type': 'expand', 'size': [96, 96], 'multiple': 32, 'fill': [114, 9, 0]}
    (view,) = views_of(picture, how)
    np.testing.assert_array_equal(view.pixels, expected['img'])
    np.testing.assert_array_equal(view.scale, expected['input_scale'])
    assert tuple(view.size) == expected['input_size']


@pytest.mark.slow
@pytest.mark.parametrize('name', [YOLOX, MULTIPOSE, DEKR, ADAPTIVE, YOLO])
def test_persons_are_those_of_the_checkpoint(models, name):
    """Two pictures of different proportions, through resizing, batches and suppression."""
    config, checkpoint, file = models(name)
    pictures = [draw_one(0, 'val', i, SyntheticPeopleConfig())[0] for i in (5, 6)]
    pictures[1] = np.ascontiguousarray(pictures[1][:, :60])
    model = build_pose([config, checkpoint], 'cpu', bbox_thr=1e-4)
    exported = OnnxPeople(file, 'cpu', bbox_thr=1e-4)
    for ours, theirs in zip(exported.predict(pictures), model.predict(pictures), strict=True):
        # the checkpoint's side may keep more of those with the lowest scores
        assert 0 < len(ours) <= len(theirs)
        # several anchors of a cell may have the same joints, and scores of their own
        rows, others = (
            np.concatenate([e.keypoints.reshape(-1, 34), 100 * e.box_scores[:, None]], 1)
            for e in (ours, theirs)
        )
        order = [int(np.abs(others - row).sum(1).argmin()) for row in rows]
        apart = np.abs(rows - others[order]).max(1)
        # where two boxes overlap by nearly the limit, the two sides count pixels differently
        same = apart < 0.01
        assert same.mean() > 0.9
        matched = np.array(order)[same]
        assert len(set(matched)) == len(matched)
        np.testing.assert_allclose(ours.box_scores[same], theirs.box_scores[matched], atol=1e-4)


@pytest.mark.slow
def test_it_takes_what_a_pose_model_takes(models, tmp_path):
    picture, path = draw_one(0, 'val', 5, SyntheticPeopleConfig())[0], tmp_path / 'a.png'
    cv2.imwrite(str(path), picture)
    find = OnnxPeople(models(YOLOX)[2], 'cpu', bbox_thr=1e-4)
    (expected,) = find.predict([picture])
    assert len(expected)
    for image in (path, str(path), picture, picture / 255.0, Image.fromarray(picture[..., ::-1])):
        for found in (find(image), find.predict(image), *find([image]), *find.predict([image])):
            np.testing.assert_array_equal(found.keypoints, expected.keypoints)
    for name, value in (('bbox_thr', float('nan')), ('nms_thr', 2), ('bbox_thr', 'a')):
        with pytest.raises(UserError, match=name):
            OnnxPeople(models(YOLOX)[2], 'cpu', **{name: value})
    rgb = find(picture[..., ::-1], channel_order='rgb')
    np.testing.assert_array_equal(rgb.keypoints, expected.keypoints)
    grey = find(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    assert grey.image.shape == picture.shape
    for wrong in (255.0 * picture, tmp_path, picture[None], None):
        with pytest.raises(UserError):
            find(wrong)


@pytest.mark.slow
def test_convolutions_take_batch_norm_and_relu6_with_them(models, tmp_path):
    """In what onnxruntime makes of the file; by itself each would cost as much as a convolution."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'fused.onnx')
    options.log_severity_level = 3
    onnxruntime.InferenceSession(models(MULTIPOSE)[2], options, providers=['CPUExecutionProvider'])
    kinds = [node.op_type for node in onnx.load(tmp_path / 'fused.onnx').graph.node]
    assert kinds.count('Conv') > 60
    assert kinds.count('BatchNormalization') == 0
    assert kinds.count('Clip') < 10  # of boxes; there are 35 ReLU6


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
    pair = ['--det', str(models(MULTIPOSE)[2]), '--pose', str(exported.path)]
    assert main(['demo', str(picture), *pair, '--output-root', str(tmp_path / 'out')]) == 0
    assert list((tmp_path / 'out').rglob('drawn*'))


@pytest.mark.slow
def test_files_of_the_other_kind(models, exported):
    with pytest.raises(UserError, match='takes pictures'):
        OnnxPose(models(YOLOX)[2])
    with pytest.raises(UserError, match='takes crops'):
        OnnxPeople(exported.path)


@pytest.mark.slow
def test_what_cannot_be_exported(models, tmp_path):
    config = Config.fromfile(models(YOLOX)[0])
    for step in config.test_dataloader.dataset.pipeline:
        if 'input_size' in step:
            step.use_udp = True
    with pytest.raises(UserError, match='use_udp'):
        export_onnx(config, models(YOLOX)[1], tmp_path / 'model.onnx')
    with pytest.raises(UserError, match='layout'):
        export_onnx(*models(MULTIPOSE)[:2], tmp_path / 'model.onnx', layout='rtmlib')
    several = find('adaptivepose-multiscale_hrnet-w32_8xb8-280e_coco-512x512').path
    config = Config.fromfile(several)
    config.model.backbone.pop('init_cfg')
    torch.save({'state_dict': {}, 'meta': {}}, tmp_path / 'none.pth')
    with pytest.raises(UserError, match='several scales'):
        export_onnx(config, tmp_path / 'none.pth', tmp_path / 'model.onnx')
    assert [path.name for path in tmp_path.iterdir()] == ['none.pth']
