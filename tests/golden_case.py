"""Golden cases: what the original networks answer, and their weights made again by name."""

import importlib.util

import numpy as np
import pytest


def golden_case(shared, name):
    """Arrays ``in/*`` and ``out/*`` of a case, and its state dict under the original's names."""
    folder = shared / 'reference/golden'
    if not (folder / f'{name}.npz').is_file():
        pytest.skip(f'no golden case {name} in {folder}')
    spec = importlib.util.spec_from_file_location('golden_weights', folder / 'weights.py')
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    arrays = dict(np.load(folder / f'{name}.npz'))
    return arrays, weights.make_state(weights.read_table(folder / f'{name}.keys.tsv.gz'), arrays)
