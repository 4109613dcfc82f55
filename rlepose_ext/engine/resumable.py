"""Batches that do not depend on history: any batch of any epoch, as if it came in turn.

A training can go on in the middle of an epoch only if the rest of the epoch is the same
with or without the stop: the order of the samples, and what augmentation draws for each.
The order is a function of seed and epoch already. Augmentation is not: it draws from
generators that every earlier sample has moved on, in worker processes that know nothing
of a checkpoint.

Here each sample's place in the order brings a seed along,

    seed of a sample = hash(seed of the run, epoch, place in the epoch's order),

and Python's, numpy's and torch's generators are set to it before the pipeline runs. So

- batches that are done already are passed over without loading anything;
- the number of workers, their age and their speed change nothing;
- neither does the number of processes: process r of W has places r, r + W, r + 2W, ...,
  as MMEngine's ``DefaultSampler`` deals the samples out;
- no epoch repeats another's augmentation. MMEngine seeds each worker alike at every start,
  so without ``persistent_workers`` every epoch begins with the same draws.

The last functions keep the state of all generators of a process, for a checkpoint: Python,
numpy and torch each have a global one, and CUDA one for each device. What is kept must be
readable by ``torch.load(weights_only=True)``; so it is tensors, numbers and strings.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

# Told apart from the places in the order, which begin at 0.
_ORDER = -1
_MERSENNE = 'MT19937'


class SeededIndex(NamedTuple):
    """An index into a data set, with the seed of this draw of it."""

    index: Any
    seed: int


class SeededBatches:
    """A batch sampler whose indices carry seeds, and which can begin anywhere.

    Everything else is asked of the batch sampler inside, such as ``batch_size``.

    Args:
        batches: a batch sampler: yields lists of indices.
        seed: seed of the run.
        rank: number of this process.
        world_size: number of processes.
    """

    def __init__(self, batches: Any, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.batches = batches
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.first = 0

    def __getattr__(self, name: str) -> Any:
        if name == 'batches' or name.startswith('__'):  # as while it is unpickled
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __len__(self) -> int:
        return len(self.batches)

    def begin(self, epoch: int, first: int = 0) -> None:
        """Let the next iteration be that of ``epoch`` (from 0), without ``first`` batches."""
        self.epoch, self.first = epoch, first

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        # A generator reads this when it is first asked, not when it is made: torch's loader
        # makes one that it never uses.
        epoch, first = self.epoch, self.first
        batches = iter(self.batches)
        place = 0
        # Samplers that draw the order from torch's generator do it for the first batch.
        with kept_cpu_state():
            seed_cpu(seed_from(self.seed, epoch, _ORDER))
            begun = list(islice(batches, 1))
        for number, batch in enumerate(chain(begun, batches)):
            if number >= first:
                yield [self._seeded(index, epoch, place + i) for i, index in enumerate(batch)]
            place += len(batch)
        # for loops that count iterations: they start the loader again without announcing an epoch
        self.begin(epoch + 1)

    def _seeded(self, index: Any, epoch: int, place: int) -> SeededIndex:
        place = place * self.world_size + self.rank
        return SeededIndex(index, seed_from(self.seed, epoch, place))


class SeededItems:
    """What a data set's ``__getitems__`` becomes: each sample under its own seed.

    torch's loader asks a data set that has this attribute for a whole batch. The data set
    itself is not wrapped: its class, parts and pipeline stay visible.

    Args:
        dataset: a map-style data set.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.own = getattr(type(dataset), '__getitems__', None)

    def __call__(self, indices: list[Any]) -> list[Any]:
        # A worker has no other use for its generators. In the main process the model draws
        # from the same ones.
        with kept_cpu_state() if get_worker_info() is None else nullcontext():
            return [self._item(index) for index in indices]

    def _item(self, index: Any) -> Any:
        if isinstance(index, SeededIndex):
            seed_cpu(index.seed)
            index = index.index
        return self.dataset[index] if self.own is None else self.own(self.dataset, [index])[0]


def make_resumable(loader: DataLoader, seed: int, rank: int = 0, world_size: int = 1) -> bool:
    """Give a loader seeded batches, in place and once.

    Args:
        loader: a loader that has not begun.
        seed: seed of the run.
        rank: number of this process.
        world_size: number of processes.

    Returns:
        Whether the loader has them now. One over a stream, or without batches, or over
        something that takes no attribute (a list), has not and stays as it was. Neither has
        what is no loader of torch's.
    """
    if not isinstance(loader, DataLoader):
        return False
    if isinstance(loader.batch_sampler, SeededBatches):
        return True
    if loader.batch_sampler is None or isinstance(loader.dataset, IterableDataset):
        return False
    # Its own attribute: a wrapper may hand out that of the data set inside.
    if not isinstance(getattr(loader.dataset, '__dict__', {}).get('__getitems__'), SeededItems):
        try:
            loader.dataset.__getitems__ = SeededItems(loader.dataset)
        except AttributeError:
            return False
    batches = SeededBatches(loader.batch_sampler, seed, rank, world_size)
    # The loader refuses a change of its batch sampler: a running iterator would miss it.
    object.__setattr__(loader, 'batch_sampler', batches)
    return True


def sampler_of(loader: DataLoader) -> Any:
    """The sampler that decides the order: the one inside a batch sampler, if there is one."""
    own = getattr(loader, 'sampler', None)
    return getattr(getattr(loader, 'batch_sampler', None), 'sampler', own)


def replay(loader: DataLoader, epochs: int) -> None:
    """Bring a sampler that never starts anew to where it is after some epochs.

    MMPose's ``MultiSourceSampler`` goes on in the next epoch where the last one ended. Only
    indices are drawn, no data is read.
    """
    sampler = sampler_of(loader)
    if hasattr(sampler, 'source2inds'):
        for _ in range(epochs):
            iter(sampler)


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
    """Restore what :func:`capture` returned; its tensors may be on any device.

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
