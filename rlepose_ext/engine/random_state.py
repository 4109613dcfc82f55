"""The state of all random generators of a process, as tensors and numbers.

Python, numpy and torch each have a global generator, and CUDA one for each device. A
training that goes on after a stop draws the same numbers as an undisturbed one if all of
them are put back. In a checkpoint their state must be readable by
``torch.load(weights_only=True)``; so it is kept as tensors, numbers and strings.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_MERSENNE = 'MT19937'


def seed_from(*numbers: int) -> int:
    """A seed of 63 bits out of some integers of up to 64 bits each.

    Neighbouring integers give unrelated seeds: the digits of a BLAKE2 sum. ``a + b``
    would give (1, 2) and (2, 1) the same one.
    """
    digest = hashlib.blake2b(digest_size=8)
    for number in numbers:
        digest.update((number & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, 'little'))
    return int.from_bytes(digest.digest(), 'little') >> 1


def seed_cpu(seed: int) -> None:
    """Seed Python's, numpy's and torch's generator; those of CUDA devices are left alone."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFF_FFFF)  # noqa: NPY002  (transforms draw from the global one)
    torch.default_generator.manual_seed(seed)


@contextmanager
def kept_cpu_state() -> Iterator[None]:
    """Whatever is drawn or seeded within leaves the generators of the CPU as they were."""
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(pytorch)


def capture() -> dict[str, Any]:
    """The state of this process's generators, CUDA's of the current device included.

    Returns:
        ``python``, ``numpy``, ``torch`` and, where CUDA is in use, ``cuda``: tensors,
        numbers, and dictionaries of them.
    """
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        'python': {'version': version, 'words': torch.tensor(words), 'gauss': gauss},
        'torch': torch.get_rng_state(),
    }
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    if numpy['bit_generator'] == _MERSENNE:
        state['numpy'] = {
            'words': torch.from_numpy(numpy['state']['key'].astype(np.int64)),
            'position': int(numpy['state']['pos']),
            'has_gauss': int(numpy['has_gauss']),
            'gauss': float(numpy['gauss']),
        }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def restore(state: dict[str, Any]) -> None:
    """Put back what :func:`capture` gave, from whatever device it was loaded to.

    CUDA's state is passed over on a machine without CUDA.
    """
    python = state['python']
    random.setstate((python['version'], tuple(python['words'].tolist()), python['gauss']))
    torch.set_rng_state(state['torch'].cpu())
    if 'numpy' in state:
        numpy = state['numpy']
        words = numpy['words'].cpu().numpy().astype(np.uint32)
        np.random.set_state(  # noqa: NPY002
            (_MERSENNE, words, numpy['position'], numpy['has_gauss'], numpy['gauss'])
        )
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
