"""``rlepose convert yolopose``: names, half precision, detectors, other files, code."""

import argparse
import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from rlepose_ext.cli import convert
from rlepose_ext.codecs.yolopose_label import ANCHORS
from rlepose_ext.convert import yolopose
from rlepose_ext.errors import UserError

CONFIG = 'configs/yolopose/yolopose_yolov5s6_4xb16-300e_coco-640x640.py'
THEIRS = {ours: number for number, ours in yolopose._PARTS.items()}


def run_cli(*arguments):
    parser = argparse.ArgumentParser()
    convert.add_parser(parser.add_subparsers())
    args = parser.parse_args(['convert', 'yolopose', *map(str, arguments)])
    return args.run(args)


def their_name(key):
    """The inverse of the map, written independently of it."""
    if key.startswith('head.'):
        return key.replace('head.detection', 'model.33.m').replace(
            'head.keypoints', 'model.33.m_kpt'
        )
    part = max((part for part in THEIRS if key.startswith(part + '.')), key=len)
    rest = key.removeprefix(part)
    for ours, theirs in (
        ('.main_conv', '.cv1'), ('.short_conv', '.cv2'), ('.final_conv', '.cv3'),
        ('.blocks', '.m'), ('.conv1', '.cv1'), ('.conv2', '.cv2'),
    ):  # fmt: skip
        rest = rest.replace(ours, theirs)
    return f'model.{THEIRS[part]}{rest}'


@pytest.fixture(scope='module')
def model(root):
    init_default_scope('mmpose')
    return MODELS.build(Config.fromfile(root / CONFIG).model)


@pytest.fixture(scope='module')
def theirs(model):
    """A state dict as their project writes it, in half precision."""
    state = {their_name(key): value.clone() for key, value in model.state_dict().items()}
    stem = state['model.0.conv.conv.weight']
    stem[:, 3:6], stem[:, 6:9] = stem[:, 6:9].clone(), stem[:, 3:6].clone()
    state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    anchors = torch.tensor(ANCHORS).float()
    state['model.33.anchors'] = anchors / torch.tensor([8, 16, 32, 64]).view(4, 1, 1)
    state['model.33.anchor_grid'] = anchors.view(4, 1, 3, 1, 1, 2)
    return state


def test_a_state_dict(model, theirs, tmp_path, capsys):
    torch.save({'model': theirs}, tmp_path / 'theirs.pth')
    assert run_cli(tmp_path / 'theirs.pth', tmp_path / 'ours.pth') == 0
    assert 'no branch for joints' not in capsys.readouterr().out
    content = torch.load(tmp_path / 'ours.pth', weights_only=True)
    expected = model.state_dict()
    assert set(content['state_dict']) == set(expected)
    for key, value in content['state_dict'].items():
        assert value.dtype == expected[key].dtype
        torch.testing.assert_close(value, expected[key], atol=1e-3, rtol=1e-3)
    with pytest.raises(UserError, match='--force'):
        run_cli(tmp_path / 'theirs.pth', tmp_path / 'ours.pth')


def test_a_detector_starts_a_training(theirs, tmp_path, capsys):
    detector = {key: value for key, value in theirs.items() if '.m_kpt.' not in key}
    torch.save(detector, tmp_path / 'person.pth')
    assert run_cli(tmp_path / 'person.pth', tmp_path / 'ours.pth') == 0
    assert 'no branch for joints' in capsys.readouterr().out


def test_a_whole_model_is_code(tmp_path):
    class Model:
        def __reduce__(self):
            return print, ('executed',)

    (tmp_path / 'last.pt').write_bytes(pickle.dumps({'model': Model()}))
    with pytest.raises(UserError, match=r'whole models(.|\n)*m.float\(\).state_dict\(\)'):
        run_cli(tmp_path / 'last.pt', tmp_path / 'ours.pth')
    assert not (tmp_path / 'ours.pth').exists()


@pytest.mark.parametrize(('change', 'said'), [
    (lambda state: {'backbone.stem.conv.weight': torch.zeros(1)}, 'in these names already'),
    (lambda state: {k: state[k] for k in state if '.19.' not in k}, 'no neck.top_down_blocks.1'),
    (lambda state: {**state, 'model.34.weight': torch.zeros(1)}, r'unknown keys model\.34\.weight'),
    (
        lambda state: {**state, 'model.33.anchor_grid': torch.ones(4, 1, 3, 1, 1, 2)},
        'other anchors',
    ),
])  # fmt: skip
def test_other_files(theirs, tmp_path, change, said):
    torch.save(change(theirs), tmp_path / 'in.pth')
    with pytest.raises(UserError, match=said):
        run_cli(tmp_path / 'in.pth', tmp_path / 'out.pth')


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match='does not exist') as stop:
        run_cli(tmp_path / 'none.pth', tmp_path / 'out.pth')
    assert 'whole models' not in str(stop.value)
