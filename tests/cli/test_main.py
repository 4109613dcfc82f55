"""What all commands have in common."""

import warnings
from pathlib import Path

import pytest

import rlepose_ext
from rlepose_ext.cli import main


@pytest.mark.parametrize('command', ['calibrate a.py b.pth', 'init out --labels x', 'quickstart'])
def test_seeds(command, capsys):
    for seed in (-1, 2**32, 'x'):
        with pytest.raises(SystemExit, match='2'):
            main.main([*command.split(), '--seed', str(seed)])
        assert f'expected a number from 0 to 2**32 - 1, got {seed}' in capsys.readouterr().err


def test_warnings_of_ours_are_one_line():
    ours = str(Path(rlepose_ext.__file__).parent / 'inference/loading.py')
    before = warnings.formatwarning('said', UserWarning, 'elsewhere.py', 7)
    with main._plain_warnings():
        assert warnings.formatwarning('said', UserWarning, ours, 7) == 'rlepose: warning: said\n'
        assert warnings.formatwarning('said', UserWarning, 'elsewhere.py', 7) == before
    assert 'loading.py:7' in warnings.formatwarning('said', UserWarning, ours, 7)
