"""The models that ``rlepose demo`` takes by name, and when none is named."""

import json

import cv2
import pytest
from demo_case import names, picture

from rlepose_ext.cli.demo import model_and_inputs
from rlepose_ext.cli.main import main


def quickstart(tmp_path, checkpoint):
    folder = tmp_path / 'work_dirs/quickstart'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'summary.json').write_text(json.dumps({'checkpoint': str(checkpoint)}))


def test_no_pose_model_at_hand(tmp_path, capsys):
    cv2.imwrite('a.png', picture())
    assert main(['demo', 'a.png']) == 2
    said = capsys.readouterr().err
    for part in ('--pose CONFIG CHECKPOINT', 'rtmpose-m', 'movenet-thunder', 'no answer from'):
        assert part in said
    # what make demo left may be of no use
    for content in ('[]', '{}', '{"checkpoint": "gone.pth"}', 'no json'):
        quickstart(tmp_path, 'x')
        (tmp_path / 'work_dirs/quickstart/summary.json').write_text(content)
        assert main(['demo', 'a.png', '--pose', 'quickstart']) == 2
        assert 'summary.json' in capsys.readouterr().err
    assert not (tmp_path / 'work_dirs/demo').exists()


def test_the_model_of_drawn_people_on_demand(tmp_path, checkpoint, capsys):
    """It is not for photographs, so it is never taken without being named."""
    cv2.imwrite('a.png', picture())
    quickstart(tmp_path, checkpoint)
    assert main(['demo', 'a.png']) == 2
    capsys.readouterr()
    assert main(['demo', 'a.png', '--pose', 'quickstart']) == 0
    assert 'detector full, pose quickstart' in capsys.readouterr().err
    assert names(tmp_path / 'work_dirs/demo') == ['a.png']


@pytest.mark.parametrize(('values', 'model', 'inputs'), [
    (None, None, []),
    (['rtmdet-m'], ['rtmdet-m'], []),
    (['rtmdet-m', 'a.jpg', 'b.jpg'], ['rtmdet-m'], ['a.jpg', 'b.jpg']),
    (['boxes.json', 'a.jpg'], ['boxes.json'], ['a.jpg']),
    (['c.py', 'w.pth'], ['c.py', 'w.pth'], []),
    (['c.py', 'https://host/w', 'a.jpg'], ['c.py', 'https://host/w'], ['a.jpg']),
    (['human', 'w.pth', 'a.jpg'], ['human', 'w.pth'], ['a.jpg']),
])  # fmt: skip
def test_inputs_may_stand_behind_a_model(values, model, inputs):
    assert model_and_inputs(values) == (model, inputs)
