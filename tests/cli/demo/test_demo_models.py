"""The pose model that ``rlepose demo`` takes when none is named."""

import json
from pathlib import Path

import cv2
import pytest
import torch
from demo_case import names, picture

from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError
from rlepose_ext.inference import setup
from rlepose_ext.resources import resource


def quickstart(tmp_path, checkpoint):
    folder = tmp_path / 'work_dirs/quickstart'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'summary.json').write_text(json.dumps({'checkpoint': str(checkpoint)}))


def test_no_pose_model_at_hand(tmp_path, capsys):
    cv2.imwrite('a.png', picture())
    assert main(['demo', 'a.png']) == 2
    said = capsys.readouterr().err
    for part in ('--pose CONFIG CHECKPOINT', 'hrnet', 'RLEPOSE_SHARED', 'make demo has not been r'):
        assert part in said
    # what make demo left may be of no use
    for content in ('[]', '{}', '{"checkpoint": "gone.pth"}', 'no json'):
        quickstart(tmp_path, 'x')
        (tmp_path / 'work_dirs/quickstart/summary.json').write_text(content)
        assert main(['demo', 'a.png']) == 2
        assert 'summary.json' in capsys.readouterr().err
    assert not (tmp_path / 'work_dirs/demo').exists()


def test_the_model_of_make_demo(tmp_path, checkpoint, capsys):
    cv2.imwrite('a.png', picture())
    quickstart(tmp_path, checkpoint)
    assert main(['demo', 'a.png', '--det', 'full']) == 0
    assert f'pose model: the model of make demo ({checkpoint})' in capsys.readouterr().err
    assert names(tmp_path / 'work_dirs/demo') == ['a.png']


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
    # what an earlier version converted, of another file
    (tmp_path / 'cache').mkdir(exist_ok=True)
    old = tmp_path / 'cache' / 'rle_mobilenetv2-050_mmpose-clean.pth'
    torch.save({'state_dict': {'stale': torch.zeros(1)}}, old)
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
    clean.unlink()

    def no_zoo():
        raise UserError('no zoo')

    monkeypatch.setattr(setup, '_from_zoo', no_zoo)
    assert taken()[1] == checkpoint


def test_the_converted_model_of_shared_data(tmp_path, shared, monkeypatch, capsys):
    if not (shared / setup.CLEAN_MODEL).is_file():
        pytest.skip('no MMPose_Clean weights')
    monkeypatch.setenv('RLEPOSE_SHARED', str(shared))
    cv2.imwrite('a.png', picture())
    assert main(['demo', 'a.png', '--det', 'full', '--save-predictions', '--device', 'cpu']) == 0
    assert 'pose model: RLE MobileNetV2 0.5x of MMPose_Clean' in capsys.readouterr().err
    assert len(names(tmp_path / 'work_dirs/demo')) == 3
