"""demo/topdown_demo_with_mmdet.py beside MMPose's script of that name."""

import ast
import importlib.util
import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmpose
import numpy as np
import pytest

from rlepose_ext.cli import run_inputs
from rlepose_ext.errors import UserError

WHEEL = Path(mmpose.__file__).parent / '.mim'
UPSTREAM = WHEEL / 'demo/topdown_demo_with_mmdet.py'
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
    from mmengine.registry import DefaultScope

    weights = SimpleNamespace(**runpy.run_path(str(root / 'tests/inference/random_weights.py')))
    folder = tmp_path_factory.mktemp('models')
    found = {'folder': folder, 'det': weights.random_rtmdet(folder, 64)}
    DefaultScope._instance_dict.clear()
    for name, path in (('rle', RLE), ('simcc', SIMCC)):
        found[name] = [root / path, weights.random_checkpoint(root / path, folder / f'{name}.pth')]
    cv2.imwrite(str(folder / 'ä.png'), picture())
    writer = cv2.VideoWriter(str(folder / 'b.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, SIZE)
    for _ in range(3):
        writer.write(picture())
    writer.release()
    return found


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
    for options in (['--save-predictions', '--show'], []):
        args = script.parse_args(['a', 'b', 'c', 'd', '--input', 'x', *options])
        with pytest.raises(UserError, match='--output-root'):
            script.run(args)
    # of an input that turns out to be damaged when it is read
    path = tmp_path / 'cut.png'
    path.write_bytes(cv2.imencode('.png', picture())[1].tobytes()[:100])
    arguments = command(models, 'rle', 'ä.png', tmp_path / 'out', '--input', path)
    assert script.main(arguments) == 2
    assert f'topdown_demo_with_mmdet: error: image {path} is truncated' in capsys.readouterr().err


def test_the_interval_of_showing(script, models, monkeypatch):
    waits = []
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(run_inputs, '_OPEN_WINDOW', '')
    monkeypatch.setattr(cv2, 'imshow', lambda *args: None)
    monkeypatch.setattr(cv2, 'waitKey', lambda wait: waits.append(wait) or -1)
    arguments = command(models, 'rle', 'b.mp4', 'x', '--show', '--show-interval', '0.25')
    place = arguments.index('--output-root')
    assert script.main(arguments[:place] + arguments[place + 2 :]) == 0
    assert waits == [250] * 3


@pytest.mark.slow
def test_heatmaps_and_openposes_skeleton(script, models, tmp_path):
    options, drawn = ('--bbox-thr', '0.2', '--draw-bbox'), {}
    styles = {'ours': (), 'openpose': ('--skeleton-style', 'openpose')}
    for name, more in {**styles, 'heatmaps': ('--draw-heatmap',)}.items():
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
        ours_alone = set(ours['meta_info']) - set(stock['meta_info'])
        assert ours_alone == {'sigma_spread', 'sigma_correlation'}
        people = [content['instance_info'] for content in (ours, stock)]
        if name.endswith('mp4'):
            assert [[frame['frame_id'] for frame in side] for side in people] == [[1, 2, 3]] * 2
            people = [[p for frame in side for p in frame['instances']] for side in people]
        assert len(people[0]) == len(people[1]) > 1
        for mine, theirs in zip(*people, strict=True):
            assert set(mine) - set(theirs) in ({'sigma'}, {'sigma', 'sigma_px'})
            # there the detector's score is dropped
            assert theirs['bbox_score'] == 1 > mine['bbox_score'] > 0
            for key, tolerance in (('bbox', 1e-3), ('keypoints', 0.1), ('keypoint_scores', 1e-3)):
                np.testing.assert_allclose(mine[key], theirs[key], rtol=0, atol=tolerance)
        assert (tmp_path / 'ours' / name).is_file()
        captures = [cv2.VideoCapture(str(tmp_path / side / name)) for side in ('ours', 'stock')]
        assert captures[0].read()[1].shape == captures[1].read()[1].shape
