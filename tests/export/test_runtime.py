"""Exported models without torch: results, devices, bad files."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rlepose_ext import Pose
from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.runtime import OnnxPose

onnx = pytest.importorskip('onnx', reason='needs the extra [export]')
pytest.importorskip('onnxscript', reason='needs the extra [export]')
ort = pytest.importorskip('onnxruntime', reason='needs the extra [runtime]')

BOXES = np.float32([[20, 10, 90, 110], [-30, 5, 150, 130], [60.5, 3.25, 71, 30]])


@pytest.fixture(scope='module')
def picture():
    rough = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(rough, (160, 120), interpolation=cv2.INTER_CUBIC)


def test_results_are_those_of_the_estimator(exported, trained, picture):
    theirs = PoseEstimator(*trained['rle'], device='cpu', flip_test=False)
    ours = OnnxPose(exported.path, 'cpu', batch_size=2)
    other = np.ascontiguousarray(picture[::-1, :100])
    pictures, boxes = [picture, other, other], [BOXES, None, []]
    assert ours.has_sigma
    for found, expected in zip(ours(pictures, boxes), theirs(pictures, boxes), strict=True):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=0.01)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(found.sigma, expected.sigma, atol=0.01)
        assert found.names == expected.names
        for name in ('skeleton_links', 'keypoint_colors', 'flip_indices', 'sigmas'):
            np.testing.assert_array_equal(found.meta[name], expected.meta[name])
    for model in (ours, theirs):
        assert model(picture, []).sigma.shape == (0, ours.num_keypoints, 2)
    drawn, expected = (each(picture, BOXES, channel_order='rgb').plot() for each in (ours, theirs))
    assert np.abs(drawn.astype(int) - expected).max() < 64  # the same skeletons and colours


def test_the_front_doors_take_it(exported, picture, tmp_path):
    image = tmp_path / 'picture.png'
    cv2.imwrite(str(image), picture)
    (result,) = Pose(exported.path, detector='full')(image)
    np.testing.assert_allclose(
        result.keypoints, OnnxPose(exported.path)(picture).keypoints, atol=1e-3
    )
    out = tmp_path / 'out'
    command = ['demo', str(image), '--det', 'full', '--pose', str(exported.path), '--quiet']
    assert main([*command, '--output-root', str(out), '--save-predictions']) == 0
    assert 'keypoints' in (out / 'results_picture.json').read_text()


def test_a_video_shares_the_cores_among_its_networks(exported, picture, tmp_path, monkeypatch):
    """Each has as many threads as a network of torch has there, one in these tests."""
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    model = OnnxPose(exported.path, 'cpu')
    alone = model(picture)
    clip = str(tmp_path / 'clip.mp4')
    writer = cv2.VideoWriter(clip, cv2.VideoWriter_fourcc(*'mp4v'), 10, picture.shape[1::-1])
    for _ in range(2):
        writer.write(picture)
    writer.release()
    pose = Pose(exported.path, detector='full', device='cpu')
    sessions = pose.predictor.estimator._session._made
    assert list(sessions) == [3]
    assert len(list(pose(clip, stream=True))) == 2
    assert [each.get_session_options().intra_op_num_threads for each in sessions.values()] == [3, 1]
    np.testing.assert_allclose(pose(picture)[0].keypoints, alone.keypoints, atol=1e-3)


def test_neither_torch_nor_mmpose_nor_pillow_is_needed(exported, picture, tmp_path):
    """In an environment that has none of them: numpy, OpenCV and onnxruntime alone."""
    site, image = tmp_path / 'site', tmp_path / 'picture.png'
    site.mkdir()
    hidden = np.zeros((*picture.shape[:2], 1), np.uint8)
    hidden[:, :80] = 255
    cv2.imwrite(str(image), np.dstack([picture, hidden]))
    for module in (np, cv2, ort):
        home = Path(module.__file__).resolve().parent
        for path in (home, *home.parent.glob(f'{home.name}*.libs'), *home.parent.glob('opencv*')):
            if path.is_dir() and not (site / path.name).exists():
                (site / path.name).symlink_to(path)
    import rlepose_ext

    (site / 'rlepose_ext').symlink_to(Path(rlepose_ext.__file__).resolve().parent)
    code = (
        'import sys, json\n'
        'from rlepose_ext.errors import UserError\n'
        'from rlepose_ext.runtime import OnnxPose\n'
        f'result = OnnxPose({str(exported.path)!r})({str(image)!r}, {BOXES.tolist()!r})\n'
        f'result.save({str(tmp_path / "drawn.png")!r})\n'
        'try:\n    result.show()\n'
        'except UserError as error:\n    said = str(error)\n'
        'print(json.dumps([result.keypoints.tolist(), said, sorted(sys.modules)]))\n'
        'from rlepose_ext.cli.main import main\n'
        f'sys.exit(main(["demo", {str(image)!r}, "--pose", {str(exported.path)!r}]))\n'
    )
    done = subprocess.run(
        [sys.executable, '-S', '-c', code],
        env={'PYTHONPATH': str(site), 'PATH': os.environ['PATH']},
        capture_output=True,
        text=True,
        timeout=300,
    )
    # the command line needs more, and says so
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r'rlepose: error: this needs the package \w+, which .*\n', done.stderr)
    keypoints, said, modules = json.loads(done.stdout)
    # what is hidden in the file is white, as for Pillow
    expected = OnnxPose(exported.path)(image, BOXES)
    assert (expected.image[:, 80:] == 255).all()
    np.testing.assert_allclose(keypoints, expected.keypoints, atol=1e-3)
    assert 'pip install pillow' in said
    assert not {'torch', 'mmengine', 'mmcv', 'mmpose', 'PIL'} & set(modules)
    assert (tmp_path / 'drawn.png').stat().st_size > 0


def test_devices(exported):
    assert OnnxPose(exported.path, 'auto').has_sigma
    there = ort.get_available_providers()
    for device, provider in (('cuda', 'CUDA'), ('openvino', 'OpenVINO'), ('coreml', 'CoreML')):
        if f'{provider}ExecutionProvider' not in there:
            with pytest.raises(UserError, match=rf'{device}.*runs on .*cpu.*comes with'):
                OnnxPose(exported.path, device)
    for device in ('tpu', 'cpu:1', 'cuda:x'):
        with pytest.raises(UserError, match='expected auto'):
            OnnxPose(exported.path, device)


def without(path, exported, *names, **changed):
    """The file with other metadata."""
    model = onnx.load(exported.path)
    kept = [p for p in model.metadata_props if p.key not in {*names, *changed}]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for name, value in changed.items():
        model.metadata_props.add(key=name, value=json.dumps(value))
    onnx.save(model, path)
    return path


def test_files_of_another_kind(exported, tmp_path):
    content = exported.path.read_bytes()
    (tmp_path / 'short.onnx').write_bytes(content[: len(content) // 2])
    (tmp_path / 'text.onnx').write_text('no model')
    (tmp_path / 'empty.onnx').write_bytes(b'')
    for name in ('short', 'text'):
        with pytest.raises(UserError, match='damaged or no ONNX model'):
            OnnxPose(tmp_path / f'{name}.onnx', 'cpu')
    with pytest.raises(UserError, match=r'damaged or no|not one that'):
        OnnxPose(tmp_path / 'empty.onnx', 'cpu')
    bare = without(tmp_path / 'bare.onnx', exported, 'rlepose_format')
    with pytest.raises(UserError, match='not one that `rlepose export` wrote'):
        OnnxPose(bare)
    newer = without(tmp_path / 'newer.onnx', exported, rlepose_format=99)
    with pytest.raises(UserError, match='format 99'):
        OnnxPose(newer)
    foreign = without(tmp_path / 'foreign.onnx', exported, layout='rtmlib')
    with pytest.raises(UserError, match='rtmlib'):
        OnnxPose(foreign)
    for name in ('layout', 'joints', 'crop', 'input_size', 'channels', 'outputs', 'sigma_spread'):
        lacking = without(tmp_path / 'lacking.onnx', exported, name)
        with pytest.raises(UserError, match=f'does not say its {name}'):
            OnnxPose(lacking)
    with pytest.raises(UserError, match='does not exist'):
        OnnxPose(tmp_path / 'absent.onnx')


def test_another_process_opens_it_again(exported, picture):
    pose = OnnxPose(exported.path, 'cpu')
    again = pickle.loads(pickle.dumps(pose))
    np.testing.assert_array_equal(again(picture, BOXES).sigma, pose(picture, BOXES).sigma)


def test_what_an_exported_model_has_not(exported, capsys):
    with pytest.raises(UserError, match='flip test'):
        Pose(exported.path, detector='full', flip_test=True)
    with pytest.raises(UserError, match='weights in it'):
        Pose(exported.path, 'other.pth', detector='full')
    assert main(['demo', 'x.png', '--pose', str(exported.path), '--dtype', 'bfloat16']) == 2
