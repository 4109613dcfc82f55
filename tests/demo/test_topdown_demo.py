"""demo/topdown_demo_with_mmdet.py beside MMPose's script of that name."""

import argparse
import ast
import importlib.util
import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import mmdet
import mmpose
import numpy as np
import pytest
import torch
from mmengine.config import Config

from rlepose_ext.errors import UserError

WHEEL = Path(mmpose.__file__).parent / '.mim'
UPSTREAM = WHEEL / 'demo/topdown_demo_with_mmdet.py'
RTMDET = Path(mmdet.__file__).parent / '.mim/configs/rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
RLE = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
SIMCC = 'configs/quickstart/simcc_resnet18-slim_1xb16-2e_synthetic-96x72.py'
SIZE = (120, 90)
# Name to upstream's default and ours: what differs on purpose.
DIFFERENT = {
    'input': ('', 'required'),  # there without it: an assertion
    'output_root': ('', None),
    'device': ('cuda:0', 'auto'),  # there without a GPU: an error
}


@pytest.fixture(scope='module')
def script(root):
    spec = importlib.util.spec_from_file_location(
        'topdown_demo', root / 'demo/topdown_demo_with_mmdet.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def models(root, tmp_path_factory):
    """RTMDet-tiny of mmdet for small images and two pose models, with random weights."""
    from mmdet.apis import init_detector
    from mmengine.registry import DefaultScope
    from mmpose.apis import init_model

    folder = tmp_path_factory.mktemp('models')
    config = Config.fromfile(RTMDET)
    for step in config.test_dataloader.dataset.pipeline:
        for name in {'scale', 'size'} & set(step):
            step[name] = (64, 64)
    config.dump(folder / 'rtmdet.py')
    torch.manual_seed(0)
    detector = init_detector(folder / 'rtmdet.py', device='cpu')
    for parts, bias in ((detector.bbox_head.rtm_reg, 2.0), (detector.bbox_head.rtm_cls, -3.0)):
        for part in parts:
            torch.nn.init.normal_(part.weight, 0, 0.01)
            torch.nn.init.constant_(part.bias, bias)
    for part in detector.bbox_head.rtm_cls:
        part.bias.data[0] = -0.5  # persons
    # Statistics of batch norm that keep the input's variance up to the outputs.
    for part in detector.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0
    with torch.no_grad():
        detector.train()
        x = torch.nn.functional.interpolate(torch.randn(16, 3, 6, 6), (64, 64), mode='bicubic')
        detector.bbox_head(detector.extract_feat(x))
        detector.eval()
    DefaultScope._instance_dict.clear()
    found = {'det': [folder / 'rtmdet.py', save(detector, folder / 'rtmdet.pth')]}
    for name, path in (('rle', RLE), ('simcc', SIMCC)):
        model = init_model(Config.fromfile(root / path), device='cpu')
        found[name] = [root / path, save(model, folder / f'{name}.pth')]
    cv2.imwrite(str(folder / 'ä.png'), picture())
    writer = cv2.VideoWriter(str(folder / 'b.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, SIZE)
    for _ in range(3):
        writer.write(picture())
    writer.release()
    found['folder'] = folder
    return found


def save(model, path):
    meta = {'dataset_meta': {**model.dataset_meta}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return path


def picture():
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC)


def command(models, pose, name, out, *options):
    """Arguments that both scripts take."""
    files = [*models['det'], *models[pose], '--input', models['folder'] / name]
    options = ['--output-root', out, '--device', 'cpu', '--kpt-thr', '0', *options]
    return [str(value) for value in (*files, *options)]


def arguments_of(path):
    """Name to default of each ``add_argument`` in a file; ``None`` where none is given."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            default = ast.literal_eval(given['default']) if 'default' in given else None
            if 'action' in given and default is None:
                default = False
            found[node.args[0].value.removeprefix('--').replace('-', '_')] = default
    return found


def test_arguments_are_those_of_mmpose(script):
    upstream = arguments_of(UPSTREAM)
    assert len(upstream) == 21
    ours = vars(script.parse_args(['a', 'b', 'c', 'd', '--input', 'required']))
    assert set(ours) >= set(upstream)
    positional = ('det_config', 'det_checkpoint', 'pose_config', 'pose_checkpoint')
    assert [ours[name] for name in positional] == ['a', 'b', 'c', 'd']
    differences = {
        name: (default, ours[name])
        for name, default in upstream.items()
        if name not in positional and default != ours[name]
    }
    assert differences == DIFFERENT


def test_what_it_refuses(script, models, tmp_path, capsys):
    def error(*changes):
        arguments = command(models, 'rle', 'ä.png', tmp_path / 'out')
        assert script.main([*arguments, *map(str, changes)]) == 2
        said = capsys.readouterr().err
        assert said.startswith('topdown_demo_with_mmdet: error: ')
        assert said.count('\n') == 1
        assert not (tmp_path / 'out').exists()
        return said

    assert 'absent.png does not exist' in error('--input', tmp_path / 'absent.png')
    assert 'cuda:99' in error('--device', 'cuda:99')
    assert 'category 80 of 80' in error('--det-cat-id', 80)
    folder = tmp_path / 'two'
    folder.mkdir()
    for name in ('a.png', 'a.jpg'):
        cv2.imwrite(str(folder / name), picture())
    assert 'the same name (a)' in error('--input', folder, '--save-predictions')
    for options, message in (
        (['--save-predictions', '--show'], '--save-predictions needs --output-root'),
        ([], 'give --output-root, --show, or both'),
    ):
        args = script.parse_args(['a', 'b', 'c', 'd', '--input', 'x', *options])
        with pytest.raises(UserError, match=message):
            script.run(args)


def test_an_input_that_fails_is_an_error_of_this_command(script, models, tmp_path, capsys):
    path = tmp_path / 'cut.png'
    path.write_bytes(cv2.imencode('.png', picture())[1].tobytes()[:100])
    arguments = command(models, 'rle', 'ä.png', tmp_path / 'out')
    assert script.main([*arguments, '--input', str(path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if 'error' in line] == said[-1:]
    assert said[-1].startswith(f'topdown_demo_with_mmdet: error: image {path} is truncated')


def test_the_interval_of_showing(script, models, monkeypatch):
    waits = []
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'imshow', lambda *args: None)
    monkeypatch.setattr(cv2, 'waitKey', lambda wait: waits.append(wait) or -1)
    arguments = command(models, 'rle', 'b.mp4', 'x', '--show', '--show-interval', '0.25')
    place = arguments.index('--output-root')
    assert script.main(arguments[:place] + arguments[place + 2 :]) == 0
    assert waits == [250] * 3


def test_heatmaps_and_openposes_skeleton(script, models, tmp_path):
    options = ('--bbox-thr', '0.2', '--draw-bbox')
    drawn = {}
    for name, more in (
        ('ours', ()),
        ('openpose', ('--skeleton-style', 'openpose')),
        ('heatmaps', ('--draw-heatmap',)),
    ):
        arguments = command(models, 'simcc', 'ä.png', tmp_path / name, *options, *more)
        assert script.main(arguments) == 0
        content = np.fromfile(tmp_path / name / 'ä.png', np.uint8)
        drawn[name] = cv2.imdecode(content, cv2.IMREAD_COLOR)
        assert (drawn[name][:90] != picture()).any()
    assert drawn['ours'].shape == drawn['openpose'].shape == (90, 120, 3)
    assert (drawn['ours'] != drawn['openpose']).any()
    # the frame and, below it, the frame with heatmaps, as in MMPose's demo
    assert drawn['heatmaps'].shape == (180, 120, 3)
    assert (drawn['heatmaps'][90:] != picture()).any()


def test_all_frames_of_a_drawing_have_one_size(models):
    from rlepose_ext.inference import PoseEstimator
    from rlepose_ext.inference.drawing import Style
    from rlepose_ext.inference.drawing_stock import StockDrawing

    for pose, height in (('simcc', 180), ('rle', 90)):
        estimate = PoseEstimator(
            *models[pose], 'cpu', cfg_options={'model.test_cfg.output_heatmaps': True}
        )
        draw = StockDrawing(estimate, Style(kpt_thr=0), heatmaps=True)
        frame = picture()
        nobody = draw(frame.copy(), estimate(frame, []))
        assert nobody.shape == draw(frame.copy(), estimate(frame)).shape == (height, 120, 3)
        np.testing.assert_array_equal(nobody, np.concatenate([frame] * (height // 90)))


@pytest.mark.slow
def test_results_are_those_of_mmposes_script(root, models, tmp_path, monkeypatch):
    for name in ('ä.png', 'b.mp4'):
        stem = Path(name).stem
        options = ('--bbox-thr', '0', '--draw-bbox', '--save-predictions')
        arguments = command(models, 'rle', name, tmp_path / 'ours', *options)
        program = [sys.executable, 'demo/topdown_demo_with_mmdet.py', *arguments]
        done = subprocess.run(program, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        assert 'Traceback' not in done.stderr
        # MMPose's, in this process, where the compatibility layer is there
        arguments = command(models, 'rle', name, tmp_path / 'stock', *options)
        monkeypatch.setattr(sys, 'argv', [str(UPSTREAM), *arguments])
        runpy.run_path(str(UPSTREAM), run_name='__main__')
        ours, stock = (
            json.loads((tmp_path / side / f'results_{stem}.json').read_text())
            for side in ('ours', 'stock')
        )
        assert set(ours) == set(stock) == {'meta_info', 'instance_info'}
        assert set(ours['meta_info']) - set(stock['meta_info']) == {'sigma_spread'}
        people = [content['instance_info'] for content in (ours, stock)]
        if name.endswith('mp4'):
            assert [[frame['frame_id'] for frame in side] for side in people] == [[1, 2, 3]] * 2
            people = [[p for frame in side for p in frame['instances']] for side in people]
        assert len(people[0]) == len(people[1]) > 1
        for mine, theirs in zip(*people, strict=True):
            assert set(mine) - set(theirs) == {'sigma'}
            # there the detector's score is dropped
            assert theirs['bbox_score'] == 1 > mine['bbox_score'] > 0
            for key, tolerance in (
                ('bbox', 1e-3),
                ('keypoints', 0.1),
                ('keypoint_scores', 1e-3),
            ):
                np.testing.assert_allclose(mine[key], theirs[key], rtol=0, atol=tolerance)
        assert (tmp_path / 'ours' / name).is_file()
        sizes = [size_of(tmp_path / side / name) for side in ('ours', 'stock')]
        assert sizes[0] == sizes[1]


def size_of(path):
    """Width and height of the first frame of a picture or a video."""
    capture = cv2.VideoCapture(str(path))
    there, frame = capture.read()
    assert there
    return frame.shape[1], frame.shape[0]


def test_its_help_names_the_other_command(script, capsys):
    with pytest.raises(SystemExit):
        script.parse_args(['--help'])
    assert 'rlepose demo' in capsys.readouterr().out
    assert isinstance(script.parse_args(['a', 'b', 'c', 'd', '--input', 'x']), argparse.Namespace)
