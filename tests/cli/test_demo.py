"""``rlepose demo`` from the command line to the files, with a small random model."""

import functools
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import init_model

from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError
from rlepose_ext.inference import setup
from rlepose_ext.resources import resource

CONFIG = str(resource('configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'))
SIMCC = str(resource('configs/quickstart/simcc_resnet18-slim_1xb16-2e_synthetic-96x72.py'))
SIZE = (80, 60)


def picture(number=0):
    """Smooth noise, a little different for each number."""
    rough = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(rough, SIZE, interpolation=cv2.INTER_CUBIC)


def write_clip(path, frames=6, fps=10.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, SIZE)
    for _ in range(frames):
        writer.write(picture())
    writer.release()
    return path


def read_clip(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (found := capture.read())[0]:
        frames.append(found[1].astype(int))
    return frames, capture.get(cv2.CAP_PROP_FPS)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'random.pth'
    torch.manual_seed(0)
    model = init_model(Config.fromfile(CONFIG), device='cpu')
    with torch.no_grad():
        # a flow that looks trained, so that it has a spread
        for parameter in model.head.loss_module.flow_model.parameters():
            parameter.mul_(3)
    meta = {'dataset_meta': model.dataset_meta}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return str(path)


@pytest.fixture(scope='module')
def built():
    """Models are built once for all tests of this file."""
    return functools.cache(setup.PoseEstimator)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, no model, no network, no display."""

    def no_network(*args, **more):
        raise OSError('no network in tests')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('RLEPOSE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('RLEPOSE_SHARED', str(tmp_path / 'shared'))
    for name in ('RLEPOSE_MIRROR', 'DISPLAY', 'WAYLAND_DISPLAY', 'QT_QPA_PLATFORM'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('socket.getaddrinfo', no_network)
    monkeypatch.setattr('rlepose_ext.zoo.download.PAUSE', 0)


@pytest.fixture
def demo(checkpoint, built, monkeypatch):
    """Run the command with the random model; joints of any score are drawn."""
    monkeypatch.setattr(setup, 'PoseEstimator', built)

    def run(*arguments, det='full', out='out'):
        options = ['--pose', CONFIG, checkpoint, '--output-root', out, '--kpt-thr', '0']
        return main(['demo', *arguments, '--det', *det.split(), *options, '--device', 'cpu'])

    return run


def results(stem):
    """Both JSON files of an input."""
    with open(f'out/results_{stem}.json') as upstream, open(f'out/{stem}_coco.json') as coco:
        return json.load(upstream), json.load(coco)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_image(tmp_path, checkpoint, capsys):
    cv2.imwrite('a.png', picture())
    command = ['demo', 'a.png', '--det', 'full', '--pose', CONFIG, checkpoint, '--kpt-thr', '0']
    assert main([*command, '--output-root', 'out/deep', '--save-predictions']) == 0
    assert 'a.png -> out/deep/a.png: 1 frames' in capsys.readouterr().out
    drawn = cv2.imread('out/deep/a.png')
    assert drawn.shape == picture().shape
    assert (drawn != picture()).any()
    assert names(tmp_path / 'out/deep') == ['a.png', 'a_coco.json', 'results_a.json']
    content = json.loads((tmp_path / 'out/deep/results_a.json').read_text())
    assert content['meta_info']['dataset_name'] == 'coco'
    (person,) = content['instance_info']
    assert person['bbox'] == [[0, 0, *SIZE]]
    assert np.shape(person['keypoints']) == np.shape(person['sigma']) == (17, 2)
    (entry,) = json.loads((tmp_path / 'out/deep/a_coco.json').read_text())
    assert entry['bbox'] == [0, 0, *SIZE]
    assert len(entry['keypoints']) == 51


def test_folders_patterns_and_standard_input(tmp_path, demo, monkeypatch):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number, name in enumerate(('a.png', 'b.JPG', 'ü.webp')):
        cv2.imwrite(str(folder / name), picture(number))
    # macOS leaves such beside every file on foreign disks
    (folder / '._a.png').write_bytes(b'no picture')
    assert demo('photos') == 0
    assert names(tmp_path / 'out') == ['a.png', 'b.JPG', 'ü.webp']
    assert demo('photos/[a]*', out='pattern') == 0
    assert names(tmp_path / 'pattern') == ['a.png']
    assert demo('photos/b.JPG', 'photos/a.png', out='two') == 0
    assert names(tmp_path / 'two') == ['a.png', 'b.JPG']
    monkeypatch.setattr('sys.stdin', io.StringIO('photos/b.JPG\n\nphotos/ü.webp\n'))
    assert demo('-', out='listed') == 0
    assert names(tmp_path / 'listed') == ['b.JPG', 'ü.webp']


def test_a_video_with_everything_on(demo):
    write_clip('walk.mp4')
    options = ('--save-predictions', '--track', 'oks', '--smooth', '--det-interval', '2')
    assert demo('walk.mp4', *options, '--draw-sigma') == 0
    frames, fps = read_clip('out/walk.mp4')
    assert (len(frames), fps) == (6, 10)
    content, coco = results('walk')
    info = content['instance_info']
    assert [frame['frame_id'] for frame in info] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([frame['time'] for frame in info], np.arange(6) / 10, atol=2e-3)
    assert [entry['image_id'] for entry in coco] == list(range(6))
    # the detector sees frames 0, 2 and 4; between them boxes come from joints
    whole = [frame['instances'][0]['bbox'] == [[0, 0, *SIZE]] for frame in info]
    assert whole == [True, False] * 3
    assert np.shape(info[0]['instances'][0]['sigma']) == (17, 2)
    assert len(content['meta_info']['sigma_spread']['__ndarray__']) == 2
    plain = frames[0]
    assert demo('walk.mp4') == 0
    # ellipses lie around the joints
    assert np.abs(read_clip('out/walk.mp4')[0][0] - plain).max() > 30


def test_identities(demo):
    write_clip('walk.mp4', 3)
    for track, expected in (('iou', [0, 0, 0]), ('none', [None] * 3)):
        assert demo('walk.mp4', '--track', track, '--save-predictions') == 0
        frames = results('walk')[0]['instance_info']
        assert [frame['instances'][0].get('track_id') for frame in frames] == expected


def test_boxes_from_a_file(tmp_path, demo):
    clip = write_clip('walk.mp4', 4)
    boxes = {
        'walk.mp4:1': [[4, 5, 40, 55, 0.9], [30, 5, 70, 55, 0.1]],
        'walk.mp4:3': [[1, 2, 9, 9]],
    }
    (tmp_path / 'boxes.json').write_text(json.dumps(boxes))
    assert demo('walk.mp4', '--save-predictions', det='boxes.json') == 0
    frames = results('walk')[0]['instance_info']
    # 0.1 is below --bbox-thr
    assert [len(frame['instances']) for frame in frames] == [0, 1, 0, 1]
    assert frames[1]['instances'][0]['bbox'] == [[4, 5, 40, 55]]
    assert frames[1]['instances'][0]['bbox_score'] == pytest.approx(0.9)
    drawn, source = read_clip('out/walk.mp4')[0], read_clip(clip)[0]
    changed = [np.abs(a - b).max() > 60 for a, b in zip(drawn, source, strict=True)]
    assert changed == [False, True, False, True]


def test_nobody_found_leaves_the_image_as_it_is(demo):
    cv2.imwrite('flat.png', np.full((60, 80, 3), 90, np.uint8))
    assert demo('flat.png', '--save-predictions', det='hog') == 0
    assert (cv2.imread('out/flat.png') == 90).all()
    content, coco = results('flat')
    assert content['instance_info'] == coco == []


def test_one_bad_input_does_not_stop_the_others(tmp_path, demo, capsys):
    cv2.imwrite('a.png', picture())
    cv2.imwrite('c.png', picture())
    (tmp_path / 'b.png').write_bytes((tmp_path / 'a.png').read_bytes()[:500])
    write_clip('d.mp4')
    (tmp_path / 'e.mp4').write_bytes((tmp_path / 'd.mp4').read_bytes()[:300])
    assert demo('a.png', 'b.png', 'c.png', 'd.mp4', 'e.mp4', '--save-predictions') == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert len(errors) == 2
    assert 'image b.png is truncated' in errors[0]
    assert 'video e.mp4 has no frame' in errors[1]
    expected = ('a.png', 'a_coco.json', 'c.png', 'c_coco.json', 'd.mp4', 'd_coco.json')
    assert names(tmp_path / 'out') == [*expected, *(f'results_{n}.json' for n in 'acd')]
    assert len(read_clip('out/d.mp4')[0]) == 6


def test_what_is_refused_before_anything_is_written(tmp_path, demo, checkpoint, capsys):
    for folder in ('x', 'y', 'z'):
        (tmp_path / folder).mkdir()
    for name in ('a.png', 'x/a.png', 'y/a.png', 'y/b.jpg'):
        cv2.imwrite(name, picture())
    (tmp_path / 'x/a.gif').touch()
    write_clip('y/b.mp4')
    (tmp_path / 'boxes.json').write_text('{"other.png": [[1, 2, 3, 4]]}')
    for arguments, det, message in (
        (['absent.png'], 'full', 'absent.png does not exist'),
        (['z'], 'full', 'folder z has neither images nor videos'),
        (['x/a.png', 'y/a.png'], 'full', 'would have the same name'),
        (['x'], 'full', 'would have the same name (a.png)'),
        (['y', '--save-predictions'], 'full', 'would have the same name (b)'),
        (['a.png'], 'yolo', "--det yolo: expected 'hog', 'full', a .json file of boxes"),
        (['a.png'], 'a.py a.pth c', '--det and --pose take one or two values'),
        (['a.png'], 'a.py a.pth', 'a.py does not exist (of the detector)'),
        (['a.png'], 'boxes.json', 'boxes.json has no boxes of a.png'),
        (['a.png'], 'nowhere.json', 'nowhere.json cannot be read'),
        (['a.png', '--alpha', '2'], 'full', 'alpha: expected 0 to 1'),
        (['a.png', '--det-interval', '0'], 'full', 'det_interval: expected 1 or more'),
        (['a.png', '--smooth', '--track', 'none'], 'full', 'smoothing needs identities'),
        (['a.png', '--batch-size', '0'], 'full', 'batch_size: expected 1 or more'),
        (['a.png', '--show'], 'full', '--show needs a display'),
    ):
        assert demo(*arguments, det=det) == 2, message
        said = capsys.readouterr().err
        assert said.startswith('rlepose: error: ')
        assert message in said
        assert said.count('\n') == 1
        assert not (tmp_path / 'out').exists()


def test_a_checkpoint_of_another_model_names_its_keys(checkpoint, capsys):
    cv2.imwrite('a.png', picture())
    assert main(['demo', 'a.png', '--det', 'full', '--pose', SIMCC, checkpoint]) == 2
    assert 'head.' in capsys.readouterr().err


def test_a_camera_that_is_not_there(demo, capsys):
    assert demo('77') == 2
    assert capsys.readouterr().err == (
        'rlepose demo: error: webcam 77 is not there or gives no picture\n'
    )


def test_the_input_is_never_overwritten(tmp_path, demo, capsys):
    for path in ('out/a.png', 'out/b.mp4'):
        (tmp_path / 'out').mkdir(exist_ok=True)
        write_clip(path) if path.endswith('mp4') else cv2.imwrite(path, picture())
        before = (tmp_path / path).read_bytes()
        assert demo(path) == 2
        assert f'would replace the input {path}' in capsys.readouterr().err
        assert (tmp_path / path).read_bytes() == before


def test_an_output_folder_that_cannot_be_made(tmp_path, demo, capsys):
    cv2.imwrite('a.png', picture())
    (tmp_path / 'out').touch()
    assert demo('a.png') == 2
    assert 'out cannot be written: File exists' in capsys.readouterr().err


def test_formats_that_cannot_be_written_become_others(tmp_path, demo, capsys):
    from PIL import Image

    write_clip('a.mpg')
    Image.fromarray(picture()).save('b.gif')
    assert demo('a.mpg', 'b.gif') == 0
    assert names(tmp_path / 'out') == ['a.mp4', 'b.png']
    assert len(read_clip('out/a.mp4')[0]) == len(read_clip('a.mpg')[0])
    assert 'a.mpg -> out/a.mp4' in capsys.readouterr().out


class Screen:
    """In place of OpenCV's window; the keys are pressed one after the other."""

    def __init__(self, monkeypatch, keys):
        self.shown, self.waits, self.keys = 0, [], list(keys)
        monkeypatch.setenv('DISPLAY', ':0')
        monkeypatch.setattr(cv2, 'imshow', self.show)
        monkeypatch.setattr(cv2, 'waitKey', self.wait)
        monkeypatch.setattr(cv2, 'getWindowProperty', lambda *args: 1.0)

    def show(self, name, frame):
        self.shown += 1

    def wait(self, milliseconds):
        self.waits.append(milliseconds)
        return self.keys.pop(0) if self.keys else -1


def test_showing(demo, monkeypatch):
    cv2.imwrite('a.png', picture())
    write_clip('b.mp4')
    screen = Screen(monkeypatch, [-1, -1, ord('q')])
    assert demo('a.png', '--show') == 0
    # the picture stays until a key is pressed
    assert (screen.shown, len(screen.waits)) == (1, 3)
    screen = Screen(monkeypatch, [-1, -1, 27])
    assert demo('b.mp4', '--show') == 0
    assert (screen.shown, screen.waits) == (3, [1, 1, 1])
    assert len(read_clip('out/b.mp4')[0]) == 3


def test_an_opencv_without_windows(demo, monkeypatch, capsys):
    cv2.imwrite('a.png', picture())
    Screen(monkeypatch, [])

    def fail(name, frame):
        raise cv2.error('not implemented')

    monkeypatch.setattr(cv2, 'imshow', fail)
    assert demo('a.png', '--show') == 2
    assert 'opencv-python-headless' in capsys.readouterr().err


def test_no_pose_model_at_hand(tmp_path, capsys):
    cv2.imwrite('a.png', picture())
    assert main(['demo', 'a.png']) == 2
    said = capsys.readouterr().err
    first, *tried = said[said.index('rlepose: error') :].splitlines()
    assert '--pose CONFIG CHECKPOINT' in first
    assert 'make demo' in first
    assert [line[:2] for line in tried] == ['- '] * 3
    for line, part in zip(
        tried, ('hrnet', 'RLEPOSE_SHARED', 'make demo has not been run'), strict=True
    ):
        assert part in line
    assert not (tmp_path / 'work_dirs').exists()


def quickstart(tmp_path, checkpoint):
    folder = tmp_path / 'work_dirs/quickstart'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'summary.json').write_text(json.dumps({'checkpoint': str(checkpoint)}))


def test_the_model_of_make_demo(tmp_path, checkpoint, capsys):
    cv2.imwrite('a.png', picture())
    quickstart(tmp_path, checkpoint)
    assert main(['demo', 'a.png', '--det', 'full']) == 0
    assert f'pose model: the model of make demo ({checkpoint})' in capsys.readouterr().err
    assert names(tmp_path / 'work_dirs/demo') == ['a.png']


@pytest.mark.parametrize('content', ['[]', '{}', '{"checkpoint": "gone.pth"}', 'no json'])
def test_what_make_demo_left_may_be_of_no_use(tmp_path, content):
    quickstart(tmp_path, 'x')
    (tmp_path / 'work_dirs/quickstart/summary.json').write_text(content)
    with pytest.raises(UserError, match=r'summary\.json'):
        setup._from_quickstart()


def test_the_order_in_which_models_are_looked_for(tmp_path, checkpoint, monkeypatch, capsys):
    from rlepose_ext.convert import files, mmpose_clean
    from rlepose_ext.zoo import weights

    def taken():
        """Config and checkpoint of the model that is built, and what is said about it."""
        name = setup.choose_pose_model(None, device='cpu')
        return *name, capsys.readouterr().err

    monkeypatch.setattr(setup, 'PoseEstimator', lambda *args, **more: args)
    monkeypatch.setattr(files, 'read_state_dict', lambda path: {'old': torch.zeros(1)})
    monkeypatch.setattr(mmpose_clean, 'convert_model', lambda state: {'new': state['old']})
    quickstart(tmp_path, checkpoint)
    clean = tmp_path / 'shared' / setup.CLEAN_MODEL
    clean.parent.mkdir(parents=True)
    clean.touch()
    # no network, nothing in the cache: that of RLEPOSE_SHARED, converted into the cache
    config, found, said = taken()
    assert config == str(resource(setup.CLEAN_CONFIG))
    assert 'MMPose_Clean' in said
    assert list(torch.load(found)['state_dict']) == ['new']
    assert Path(found).parent == tmp_path / 'cache'
    # in the cache, or at a mirror: the zoo's
    monkeypatch.setattr(weights, 'fetch', lambda entry: tmp_path / 'zoo.pth')
    config, found, said = taken()
    assert found == str(tmp_path / 'zoo.pth')
    assert setup.DEFAULT_NAME in config
    assert f'pose model: {setup.DEFAULT_NAME}' in said
    # neither: that of make demo
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    clean.unlink()
    monkeypatch.setattr(setup, 'PoseEstimator', lambda *args, **more: args)
    monkeypatch.setattr(setup, '_from_zoo', no_zoo)
    monkeypatch.setenv('RLEPOSE_SHARED', str(tmp_path / 'shared'))
    assert taken()[1] == checkpoint


def no_zoo():
    raise UserError('no zoo')


def test_the_converted_model_of_shared_data(tmp_path, shared, monkeypatch, capsys):
    if not (shared / setup.CLEAN_MODEL).is_file():
        pytest.skip('no MMPose_Clean weights')
    monkeypatch.setenv('RLEPOSE_SHARED', str(shared))
    cv2.imwrite('a.png', picture())
    assert main(['demo', 'a.png', '--det', 'full', '--save-predictions', '--device', 'cpu']) == 0
    assert 'pose model: RLE MobileNetV2 0.5x of MMPose_Clean' in capsys.readouterr().err
    assert len(names(tmp_path / 'work_dirs/demo')) == 3


def test_the_bar(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(setup.time, 'perf_counter', lambda: now)
    bar, quiet = (setup.Progress('a.mp4', quiet=quiet) for quiet in (False, True))
    now = 1.0
    bar(10, 40)
    shown = '\r\x1b[Ka.mp4 [#####...............] 10/40, 10.0 fps, 3 s left'
    assert capsys.readouterr().err == shown
    now = 1.05
    bar(11, 40)  # not more than ten times a second
    now = 2.0
    quiet(20, 40)
    quiet.clear()
    assert capsys.readouterr().err == ''
    bar(20, 0)  # a camera has no end
    assert capsys.readouterr().err == '\r\x1b[Ka.mp4: 20 frames, 10.0 fps'
