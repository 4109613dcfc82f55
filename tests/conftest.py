"""Fixtures shared by all tests. ``rlepose_ext`` is imported before anything of OpenMMLab."""

import gc
import importlib.util
import os
import random
import weakref
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import rlepose_ext  # noqa: F401  (installs the compatibility layer)

# isort: split
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope='session')
def shared() -> Path:
    """The folder of real data and weights beside the project; skips where it is absent."""
    path = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
    if not (path / 'data').is_dir():
        pytest.skip(f'no real data at {path} (set RLEPOSE_SHARED)')
    return path


@pytest.fixture(scope='session')
def golden(shared):
    """What the original networks answer: a function from a case's name to arrays and weights.

    It gives arrays ``in/*`` and ``out/*``, and a state dict under the original's names.
    """
    folder = shared / 'reference/golden'
    if not folder.is_dir():
        pytest.skip(f'no golden cases at {folder} (set RLEPOSE_SHARED)')
    spec = importlib.util.spec_from_file_location('golden_weights', folder / 'weights.py')
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)

    def case(name):
        arrays = dict(np.load(folder / f'{name}.npz'))
        table = weights.read_table(folder / f'{name}.keys.tsv.gz')
        state = weights.make_state(table, arrays)
        return arrays, {key: torch.from_numpy(np.asarray(v)) for key, v in state.items()}

    return case


@pytest.fixture(scope='session', autouse=True)
def _configs_are_read_once():
    """All configs take 10 s to read, their copies 0.3 s; what they say depends on our variables.

    For each base in another package MMEngine reads all of its metafiles anew.
    """
    from mmengine.config import Config, config, utils

    original, known, folders = Config._file2dict, {}, (str(ROOT / 'configs'), '.mim/configs/')

    def file2dict(filename, *args, **kwargs):
        if not any(folder in str(Path(filename).resolve()) for folder in folders):
            return original(filename, *args, **kwargs)
        variables = {k: v for k, v in os.environ.items() if k.startswith('RLEPOSE_')}
        key = (str(filename), *args, *kwargs.items(), *sorted(variables.items()))
        if key not in known:
            known[key] = original(filename, *args, **kwargs)
        content, *others = known[key]
        return deepcopy(content), *others

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, '_file2dict', staticmethod(file2dict))
        patch.setattr(utils, 'load', cache(utils.load))
        patch.setattr(config, 'is_installed', cache(config.is_installed))
        yield


@pytest.fixture(scope='module', autouse=True)
def _imports_are_no_garbage():
    """Each data set of MMEngine collects garbage, among all that the tests have imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def _compilers_are_asked_once():
    """Each Runner of MMEngine asks them for their versions, which takes a second."""
    from mmengine.runner import runner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, 'collect_env', cache(runner.collect_env))
        yield


@pytest.fixture(autouse=True)
def _loaders_end_with_their_test(monkeypatch):
    """As garbage in a cycle they lose the queue to their workers first, and wait 5 s for each."""
    from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter as Batches

    made, original = weakref.WeakSet(), Batches.__init__

    def init(self, *args, **kwargs):
        made.add(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(Batches, '__init__', init)
    yield
    for batches in made:
        batches._shutdown_workers()


@pytest.fixture(autouse=True)
def _no_default_scope():
    """No test, and no fixture of a module, sees the scope that a Runner of another one set."""
    from mmengine.registry import DefaultScope

    DefaultScope._instance_dict.clear()
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def _no_closed_logs():
    """Each test starts without loggers that write to what ``capsys`` of another one has closed."""
    from mmengine.logging import MMLogger

    for name, logger in list(MMLogger._instance_dict.items()):
        streams = [getattr(handler, 'stream', None) for handler in logger.handlers]
        if any(getattr(stream, 'closed', False) for stream in streams):
            del MMLogger._instance_dict[name]


def _seed():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (MMPose draws from the global generator)
    torch.default_generator.manual_seed(0)  # without GPUs, for which torch notes the whole stack


@pytest.fixture(autouse=True)
def _deterministic():
    """Same seed for every test; one thread, because the tests run in parallel."""
    _seed()
    torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    """Same seed for what several tests share, whichever of them is the first to ask for it."""
    if fixturedef.scope == 'function':
        return (yield)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    _seed()
    try:
        return (yield)
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
