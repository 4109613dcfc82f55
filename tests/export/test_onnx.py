"""Exported files: what they compute, what they say of themselves, and what is refused."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError
from rlepose_ext.export.graph import Normalise
from rlepose_ext.export.onnx import Subject, _export, drawn_crops, export_onnx
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.models.layers.gated_attention import RMS_EPS

onnx = pytest.importorskip('onnx', reason='needs the extra [export]')
pytest.importorskip('onnxscript', reason='needs the extra [export]')
ort = pytest.importorskip('onnxruntime', reason='needs the extra [export]')
pytestmark = pytest.mark.slow


def run(path, x):
    session = ort.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return session.run(None, {session.get_inputs()[0].name: x})


def test_points_scores_and_sigma_are_those_of_the_model(exported, trained):
    """Against the estimator from outside, for a batch and for single crops."""
    estimator = PoseEstimator(*trained['rle'], device='cpu', flip_test=False)
    crops = drawn_crops(estimator, 5)
    keypoints, scores, sigma = run(exported.path, crops)
    single = zip(*(run(exported.path, crop[None]) for crop in crops), strict=True)
    single = [np.concatenate(each) for each in single]
    for one, many in zip(single, (keypoints, scores, sigma), strict=True):
        np.testing.assert_allclose(one, many, atol=1e-3)
    image = np.ascontiguousarray(crops[2])
    # A crop whose region is the crop: the box of the whole picture, less the padding.
    whole = np.array([[0, 0, 72, 96]]) - np.array([[-1, -1, 1, 1]]) * [7.2, 9.6, 7.2, 9.6]
    result = estimator(image, whole)
    np.testing.assert_allclose(keypoints[2], result.keypoints[0], atol=0.05)
    np.testing.assert_allclose(scores[2], result.scores[0], atol=1e-3)
    np.testing.assert_allclose(sigma[2], result.sigma[0], atol=0.05)


@pytest.mark.slow
def test_keypoint_tokens(trained, tmp_path):
    """A head of tokens, for batches of any size."""
    done = export_onnx(*trained['tokenpose'], tmp_path / 'model.onnx')
    assert [each.what for each in done.differences] == ['keypoints', 'scores']
    estimator = PoseEstimator(*trained['tokenpose'], device='cpu', flip_test=False)
    for count in (1, 3):
        crops = drawn_crops(estimator, count)
        keypoints, scores = run(done.path, crops)
        expected, heights, _ = estimator.points(crops)
        np.testing.assert_allclose(keypoints, expected, atol=0.05)
        np.testing.assert_allclose(scores, heights, atol=1e-3)


def test_what_a_file_says_of_itself(exported, trained):
    properties = {p.key: json.loads(p.value) for p in onnx.load(exported.path).metadata_props}
    beside = json.loads(exported.path.with_suffix('.json').read_text())
    assert {name: properties[name] for name in beside} == beside == exported.content
    assert beside['input_size'] == [72, 96]
    assert beside['channel_order'] == 'bgr'
    assert beside['outputs'] == ['keypoints', 'scores', 'sigma']
    assert beside['crop'] == {'type': 'padded', 'padding': 1.25, 'use_udp': False, 'grey': False}
    assert beside['joints']['names'][:3] == ['nose', 'left_eye', 'right_eye']
    assert [1, 2] in beside['joints']['flip_pairs']
    assert beside['codec']['type'] == 'RegressionLabel'
    digest = hashlib.sha256(Path(trained['rle'][1]).read_bytes()).hexdigest()
    assert beside['checkpoint_sha256'] == digest
    assert beside['versions']['torch'] == torch.__version__.partition('+')[0]


def test_the_command_prints_the_differences(trained, tmp_path, capsys):
    assert main(['export', *trained['simcc'], '--out', str(tmp_path / 'simcc.onnx')]) == 0
    said = capsys.readouterr().out
    assert 'keypoints' in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ['simcc.json', 'simcc.onnx']


@pytest.mark.slow
def test_half_is_half_the_size(exported, trained, tmp_path):
    done = export_onnx(*trained['rle'], tmp_path / 'half.onnx', half=True)
    assert done.path.stat().st_size < 0.6 * exported.path.stat().st_size
    assert done.content['network'] == 'float16'
    far = {each.what: each.largest for each in done.differences}
    assert 0 < far['keypoints'] < 0.5
    assert run(done.path, np.zeros((1, 96, 72, 3), np.uint8))[0].dtype == np.float32


def test_a_small_epsilon_stays(tmp_path):
    """RMS norm of zeros, as in the gated attention unit; onnxscript's optimiser makes NaN of it."""

    class Norm(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.rms_norm(x, (4,), eps=RMS_EPS)

    content = {'name': 'norm', 'outputs': ['y']}
    zeros = np.zeros((2, 4), np.float32)
    _export(Subject(Norm(), content, 'x', zeros, None, [zeros]), tmp_path / 'norm.onnx')
    np.testing.assert_array_equal(run(tmp_path / 'norm.onnx', zeros)[0], zeros)


def test_rtmlib_finds_the_same_joints(trained, tmp_path):
    rtmlib = pytest.importorskip('rtmlib', reason='rtmlib is not installed')
    done = export_onnx(*trained['simcc'], tmp_path / 'model.onnx', layout='rtmlib')
    estimator = PoseEstimator(*trained['simcc'], device='cpu', flip_test=False)
    theirs = rtmlib.RTMPose(str(done.path), (72, 96), backend='onnxruntime', device='cpu')
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    boxes = np.float32([[20, 10, 90, 110], [60, 5, 150, 118]])
    keypoints, _ = theirs(image, boxes)
    np.testing.assert_allclose(keypoints, estimator(image, boxes).keypoints, atol=1e-3)


def refused(folder, *args, **options):
    """The message; nothing is left behind, and an older file stays as it was."""
    out = folder / 'model.onnx'
    out.write_text('older')
    with pytest.raises(UserError) as caught:
        export_onnx(*args, out, **options)
    assert [p.name for p in folder.iterdir()] == ['model.onnx']
    assert out.read_text() == 'older'
    return str(caught.value)


@pytest.mark.slow
def test_an_operator_that_onnx_lacks_is_named(trained, tmp_path, monkeypatch):
    def with_eigenvalues(self, x):
        return x + torch.linalg.eigvals(x[..., :3, :3]).real.mean()

    monkeypatch.setattr(Normalise, 'forward', with_eigenvalues)
    message = refused(tmp_path, *trained['rle'])
    assert 'cannot be exported' in message
    assert 'linalg_eig' in message
    assert '\n' not in message


@pytest.mark.slow
def test_another_function_is_no_export(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(Normalise, 'forward', lambda self, x: (x - self.mean - 9) / self.std)
    message = refused(tmp_path, *trained['rle'])
    assert 'keypoints' in message
    assert 'px' in message


def test_what_cannot_be_exported(trained, tmp_path):
    assert 'layout' in refused(tmp_path, *trained['rle'], layout='mmdeploy')
    assert 'rtmlib reads SimCC' in refused(tmp_path, *trained['rle'], layout='rtmlib')
    config = Config.fromfile(trained['rle'][0])
    config.test_dataloader.dataset.pipeline.insert(3, dict(type='YOLOXHSVRandomAug'))
    assert 'YOLOXHSVRandomAug' in refused(tmp_path, config, trained['rle'][1])
    with pytest.raises(UserError, match=r'ends in \.onnx'):
        export_onnx(*trained['rle'], tmp_path / 'model.bin')


def test_the_command_ends_with_one_message(trained, tmp_path, capsys):
    folder = tmp_path / 'file'
    folder.write_text('')
    for out in (folder / 'model.onnx', '/sys/model.onnx'):  # a file system without files of ours
        assert main(['export', *trained['rle'], '--out', str(out)]) == 2
        assert capsys.readouterr().err.count('rlepose: error: ') == 1
