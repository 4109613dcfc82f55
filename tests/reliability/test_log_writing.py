"""Logs on a full disk: one warning each, the training goes on, and so does the log later."""

import errno
import logging
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import VISBACKENDS
from mmengine.visualization import BaseVisBackend
from resume_training import BATCHES, At, runner


@VISBACKENDS.register_module(force=True)
class ThirdPartyBackend(BaseVisBackend):
    """Defined after the patch, as other packages' are; fails like TensorBoard on a full disk."""

    full = True

    def __init__(self, save_dir, **kwargs):
        super().__init__(save_dir)
        self.steps = []

    @property
    def experiment(self):
        return self

    def _init_env(self):
        pass

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        if self.full:
            raise OSError(errno.ENOSPC, 'No space left on device')
        self.steps.append(step)

    def add_scalar(self, name, value, step=0, **kwargs):
        raise ValueError('a mistake, not a disk')


def train(folder, backend, hooks=()):
    run = runner(
        folder,
        epochs=2,
        hooks=hooks,
        visualizer={
            'type': 'Visualizer',
            'vis_backends': [{'type': backend, 'save_dir': str(folder / 'logs')}],
            'name': f'{folder.name}-{backend}',
        },
    )
    run.train()
    return run


def warnings(text, name):
    return [line for line in text.splitlines() if f'{name} cannot write' in line]


def test_local_backend_and_its_gap(tmp_path, monkeypatch, capsys):
    """/dev/full gives what a full disk gives."""
    real = open
    full = {'on': False}

    def opened(path, mode='r', *args, **kwargs):
        if full['on'] and str(path).endswith('.json') and 'a' in mode:
            return real('/dev/full', 'w')
        return real(path, mode, *args, **kwargs)

    monkeypatch.setattr('builtins.open', opened)
    hooks = [
        At('before_train_iter', 2, lambda: full.update(on=True)),
        At('before_train_iter', BATCHES, lambda: full.update(on=False)),
    ]
    run = train(tmp_path, 'LocalVisBackend', hooks)
    assert run.iter == 2 * BATCHES
    lines = warnings(capsys.readouterr().out, 'LocalVisBackend')
    assert len(lines) == 1
    assert 'No space left on device' in lines[0]
    steps = (tmp_path / 'logs' / 'scalars.json').read_text()
    assert '"step": 2}' in steps
    assert '"step": 3}' not in steps
    assert f'"step": {BATCHES + 1}}}' in steps


def test_backends_of_others(tmp_path, capsys):
    run = train(tmp_path, 'ThirdPartyBackend')
    assert run.iter == 2 * BATCHES
    assert len(warnings(capsys.readouterr().out, 'ThirdPartyBackend')) == 1
    backend = run.visualizer.get_backend('ThirdPartyBackend')
    backend.full = False
    run.visualizer.add_scalars({'loss': 1.0}, step=7)
    assert backend.steps == [7]
    with pytest.raises(ValueError, match='a mistake'):
        run.visualizer.add_scalar('loss', 1.0)


def test_text_log(tmp_path, capsys):
    logger = MMLogger.get_instance('full-disk', log_file=str(tmp_path / 'run.log'))
    handler = next(item for item in logger.handlers if isinstance(item, logging.FileHandler))
    kept, handler.stream = handler.stream, Path('/dev/full').open('w')  # noqa: SIM115
    for _ in range(3):
        logger.info('lost')
    handler.stream = kept
    logger.info('written')
    found = capsys.readouterr()
    assert found.err.count('cannot be written') == 1
    assert 'Traceback' not in found.err
    assert found.out.count('lost') == 3
    assert 'written' in (tmp_path / 'run.log').read_text()
