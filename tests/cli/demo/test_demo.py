"""``rlepose demo`` from the command line to the files, with a small random model."""

import io
import json

import cv2
import numpy as np
import pytest
from demo_case import CONFIG, SIZE, names, picture, read_clip, results, write_clip

from rlepose_ext.cli import run_inputs
from rlepose_ext.cli.main import main


def test_an_image(tmp_path, checkpoint, capsys):
    """Its number, as COCO has it in names, is that of its results."""
    cv2.imwrite('00785.png', picture())
    command = ['demo', '00785.png', '--det', 'full', '--pose', CONFIG, checkpoint, '--kpt-thr', '0']
    assert main([*command, '--output-root', 'out/deep', '--save-predictions']) == 0
    assert '00785.png -> out/deep/00785.png: 1 pose in ' in capsys.readouterr().out
    drawn = cv2.imread('out/deep/00785.png')
    assert drawn.shape == picture().shape
    assert (drawn != picture()).any()
    assert names(tmp_path / 'out/deep') == ['00785.png', '00785_coco.json', 'results_00785.json']
    content = json.loads((tmp_path / 'out/deep/results_00785.json').read_text())
    assert content['meta_info']['dataset_name'] == 'coco'
    (person,) = content['instance_info']
    assert person['bbox'] == [[0, 0, *SIZE]]
    assert np.shape(person['keypoints']) == np.shape(person['sigma']) == (17, 2)
    (entry,) = json.loads((tmp_path / 'out/deep/00785_coco.json').read_text())
    assert (entry['image_id'], entry['bbox']) == (785, [0, 0, *SIZE])
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
    for track, expected in (('iou', 0), ('none', None)):
        assert demo('walk.mp4', '--track', track, '--save-predictions') == 0
        people = [frame['instances'][0] for frame in results('walk')[0]['instance_info']]
        assert [person.get('track_id') for person in people] == [expected] * 6
    # ellipses lie around the joints
    assert np.abs(read_clip('out/walk.mp4')[0][0] - frames[0]).max() > 30


def test_boxes_from_a_file(tmp_path, demo, capsys):
    clip = write_clip('walk.mp4', 4)
    boxes = {
        'walk.mp4:1': [[4, 5, 40, 55, 0.9], [30, 5, 70, 55, 0.1]],
        'walk.mp4:3': [[1, 2, 9, 9]],
    }
    (tmp_path / 'boxes.json').write_text(json.dumps(boxes))
    cv2.imwrite('flat.png', np.full((60, 80, 3), 90, np.uint8))
    assert demo('walk.mp4', 'flat.png', '--save-predictions', det='boxes.json') == 0
    said = capsys.readouterr()
    assert 'flat.png: 0 poses in ' in said.out
    assert 'has no entry for 1 of 2 inputs, which count as empty: flat.png\n' in said.err
    # nobody found: the image as it is, and files without anybody
    assert (cv2.imread('out/flat.png') == 90).all()
    content, coco = results('flat')
    assert content['instance_info'] == coco == []
    frames = results('walk')[0]['instance_info']
    # 0.1 is below --bbox-thr
    assert [len(frame['instances']) for frame in frames] == [0, 1, 0, 1]
    assert frames[1]['instances'][0]['bbox'] == [[4, 5, 40, 55]]
    assert frames[1]['instances'][0]['bbox_score'] == pytest.approx(0.9)
    drawn, source = read_clip('out/walk.mp4')[0], read_clip(clip)[0]
    changed = [np.abs(a - b).max() > 60 for a, b in zip(drawn, source, strict=True)]
    assert changed == [False, True, False, True]


class Screen:
    """In place of OpenCV's window; the keys are pressed one after the other."""

    def __init__(self, monkeypatch, keys):
        self.shown, self.waits, self.keys = 0, [], list(keys)
        monkeypatch.setenv('DISPLAY', ':0')
        monkeypatch.setattr(run_inputs, '_OPEN_WINDOW', '')
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


def test_a_display_that_does_not_answer(demo, monkeypatch, capsys):
    cv2.imwrite('a.png', picture())
    monkeypatch.setenv('DISPLAY', ':63999')
    assert demo('a.png', '--show') == 2
    said = capsys.readouterr().err
    assert 'the display :63999 cannot be opened' in said or 'opencv-python-headless' in said


def test_an_opencv_without_windows(demo, monkeypatch, capsys):
    cv2.imwrite('a.png', picture())
    Screen(monkeypatch, [])

    def fail(name, frame):
        raise cv2.error('not implemented')

    monkeypatch.setattr(cv2, 'imshow', fail)
    assert demo('a.png', '--show') == 2
    assert 'opencv-python-headless' in capsys.readouterr().err
