"""What ``rlepose demo`` refuses, and that what was written before stays."""

import cv2
import pytest
from demo_case import SIMCC, names, picture, read_clip, write_clip

from rlepose_ext.cli.main import main


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
    (tmp_path / 'z').mkdir()
    cv2.imwrite('a.png', picture())
    (tmp_path / 'boxes.json').write_text('{"other.png": [[1, 2, 3, 4]]}')
    for arguments, det, message in (
        (['absent.png'], 'full', 'absent.png does not exist'),
        (['z'], 'full', 'folder z has neither images nor videos'),
        ([''], 'full', 'an input is empty text'),
        ([], 'full', 'no input'),
        (['a.png', '--start', '3', '--end', '2'], 'full', 'end: expected more than the start'),
        (['a.png', '--save', 'jpeg'], 'full', '--save: expected some of none, image, crops'),
        (['a.png', '--save', 'none', 'csv'], 'full', 'none goes with nothing else'),
        (['--classes', 'a.png'], 'full', '--classes: expected numbers, got a.png'),
        (['a.png'], 'yolo', 'detector yolo: expected'),
        (['a.png'], 'a.py a.pth b.png', 'a.py does not exist (of the detector)'),
        (['a.png'], 'a.py a.pth', 'a.py does not exist (of the detector)'),
        (['a.png'], 'boxes.json', 'boxes.json has no boxes of a.png'),
        (['a.png', '--alpha', '2'], 'full', 'alpha'),
        (['a.png', '--det-interval', '0'], 'full', 'det_interval'),
        (['a.png', '--smooth', '--track', 'none'], 'full', 'smoothing needs identities'),
        (['a.png', '--batch-size', '0'], 'full', 'batch_size'),
        (['a.png', '--show'], 'full', '--show needs a display'),
    ):
        assert demo(*arguments, det=det) == 2, message
        said = capsys.readouterr().err
        assert said.startswith('rlepose: error: ')
        assert message in said
        assert said.count('\n') == 1
        assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('command', 'option', 'value', 'message'), [
    ('demo', '--output-root', '', 'expected a folder, got an empty text'),
    ('demo', '--bbox-thr', '2', 'expected 0 to 1, got 2'),
    ('demo', '--nms-thr', 'nan', 'expected 0 to 1, got nan'),
    ('demo', '--start', '1:x', "expected seconds from 0 on, or h:m:s, got '1:x'"),
    ('detect', '--bbox-thr', 'nan', 'expected 0 to 1, got nan'),
    ('detect', '--nms-thr', '1.1', 'expected 0 to 1, got 1.1'),
])  # fmt: skip
def test_values_that_no_option_takes(command, option, value, message, capsys):
    with pytest.raises(SystemExit, match='2'):
        main([command, 'a.json', 'b', option, value])
    assert f'argument {option}: {message}' in capsys.readouterr().err


def test_a_checkpoint_of_another_model_and_no_camera(demo, checkpoint, capsys):
    cv2.imwrite('a.png', picture())
    assert main(['demo', 'a.png', '--det', 'full', '--pose', SIMCC, checkpoint]) == 2
    assert 'head.' in capsys.readouterr().err
    assert demo('77') == 2
    assert 'webcam 77 is not there' in capsys.readouterr().err


def test_the_input_is_never_overwritten(tmp_path, demo, capsys):
    cv2.imwrite('a.png', picture())
    (tmp_path / 'out').touch()
    assert demo('a.png') == 2
    assert 'out cannot be written: File exists' in capsys.readouterr().err
    (tmp_path / 'out').unlink()
    for path in ('out/a.png', 'out/b.mp4'):
        (tmp_path / 'out').mkdir(exist_ok=True)
        write_clip(path) if path.endswith('mp4') else cv2.imwrite(path, picture())
        before = (tmp_path / path).read_bytes()
        assert demo(path) == 2
        assert f'would replace the input {path}' in capsys.readouterr().err
        assert (tmp_path / path).read_bytes() == before


def test_another_input_is_not_overwritten_either(tmp_path, demo, capsys):
    (tmp_path / 'y').mkdir()
    for number, name in enumerate(('a.png', 'y/a.png')):
        cv2.imwrite(name, picture(number))
    before = (tmp_path / 'a.png').read_bytes()
    assert demo('y/a.png', 'a.png', out='.') == 2
    assert 'the drawn a.png would replace the input a.png' in capsys.readouterr().err
    assert (tmp_path / 'a.png').read_bytes() == before
    # nothing is drawn
    assert demo('y/a.png', 'a.png', '--save', 'csv', out='.') == 0
    assert {'a.csv', 'a_2.csv'} <= set(names(tmp_path))


def test_formats_that_cannot_be_written_become_others(tmp_path, demo, capsys):
    from PIL import Image

    write_clip('a.mpg')
    Image.fromarray(picture()).save('b.gif')
    assert demo('a.mpg', 'b.gif') == 0
    assert names(tmp_path / 'out') == ['a.mp4', 'b.png']
    assert len(read_clip('out/a.mp4')[0]) == len(read_clip('a.mpg')[0])
    assert 'a.mpg -> out/a.mp4' in capsys.readouterr().out
