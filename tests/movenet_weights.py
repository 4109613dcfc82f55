"""Google's MoveNet for tests, where its files are at hand: nothing is downloaded."""

from pathlib import Path

import pytest

from rlepose_ext.zoo.files import MOVENET
from rlepose_ext.zoo.weights import cache_folder, is_good, sources

ARCHS = ('lightning', 'thunder', 'multipose')


def model_json(arch: str) -> Path:
    """Path of a model's json with its bin beside it; skips where they are not to be had."""
    (file,) = [file for file in MOVENET if file.name == f'movenet-{arch}']
    folders = [cache_folder(), *(Path(s).parent for s in sources(file.parts[0]))]
    for folder in folders:
        if all(is_good(folder / part.filename, part) for part in file.parts):
            return folder / file.parts[0].filename
    pytest.skip(f'{file.name} is neither in the cache nor in a mirror: rlepose weights {file.name}')
