"""What the original PoseFix answers, of ``RLEPOSE_SHARED``, and its weights under our names."""

import importlib.util

import numpy as np
import pytest
import torch


def read(shared, name):
    """Arrays of a case, and its state dict with the port's keys; skips where it is absent."""
    folder = shared / 'reference/golden'
    if not (folder / f'{name}.npz').is_file():
        pytest.skip(f'no reference outputs at {folder} (set RLEPOSE_SHARED)')
    spec = importlib.util.spec_from_file_location('golden_weights', folder / 'weights.py')
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    arrays = np.load(folder / f'{name}.npz')
    state = weights.make_state(weights.read_table(folder / f'{name}.keys.tsv.gz'), arrays)
    return arrays, {key: torch.from_numpy(value) for key, value in state.items()}
