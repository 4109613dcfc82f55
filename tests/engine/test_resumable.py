"""Each batch is what it is, whatever came before it and whoever loads it."""

import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, worker_init_fn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, WeightedRandomSampler

from rlepose_ext.engine.resumable import make_resumable, replay, sampler_of, seed_cpu


class Noise(Dataset):
    def __init__(self, size=11):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        noise = [random.random(), np.random.rand(), float(torch.rand(()))]  # noqa: NPY002
        return torch.tensor([float(index), *noise], dtype=torch.float64)


def loader(seed=7, rank=0, world_size=1, dataset=None, workers=0, resumable=True, **arguments):
    dataset = Noise() if dataset is None else dataset
    if not arguments:
        sampler = DefaultSampler(dataset, shuffle=True, seed=seed)
        sampler.rank, sampler.world_size = rank, world_size
        sampler.num_samples = -(-len(dataset) // world_size)
        sampler.total_size = sampler.num_samples * world_size
        arguments = {'sampler': sampler, 'batch_size': 3}
    made = DataLoader(dataset, num_workers=workers, **arguments)
    if resumable:
        assert make_resumable(made, seed, rank, world_size)
    return made


def epoch(made, number=0, first=0):
    """Concatenated batches of an epoch."""
    sampler = sampler_of(made)
    if hasattr(sampler, 'set_epoch'):
        sampler.set_epoch(number)
    made.batch_sampler.begin(number, first)
    return list(made)


def equal(left, right):
    return len(left) == len(right) and all(map(torch.equal, left, right))


def test_skipped_batches_are_not_loaded_and_the_rest_is_the_same():
    class Counting(Noise):
        def __getitem__(self, index):
            loaded.append(index)
            return super().__getitem__(index)

    loaded = []
    whole = epoch(loader())
    for first in range(5):
        loaded.clear()
        assert equal(epoch(loader(dataset=Counting()), first=first), whole[first:])
        assert len(loaded) == sum(map(len, whole[first:]))


def test_history_changes_nothing():
    made = loader()
    first = epoch(made, 0)
    second = epoch(made, 1)
    seed_cpu(99)
    assert equal(epoch(made, 1), second)
    assert equal(epoch(made, 0), first)
    assert not equal(first, second)


def test_the_generators_of_the_process_are_left_alone():
    made = loader()
    seed_cpu(3)
    expected = random.random(), np.random.rand(), torch.rand(2)  # noqa: NPY002
    seed_cpu(3)
    for batch in made.batch_sampler:
        made.dataset.__getitems__(batch)
    found = random.random(), np.random.rand(), torch.rand(2)  # noqa: NPY002
    assert found[:2] == expected[:2]
    assert torch.equal(found[2], expected[2])


def test_processes_share_one_order_and_its_draws():
    alone = torch.cat(epoch(loader(dataset=Noise(12))))
    pair = [torch.cat(epoch(loader(dataset=Noise(12), rank=r, world_size=2))) for r in (0, 1)]
    assert torch.equal(torch.stack(pair, 1).flatten(0, 1), alone)


def test_no_epoch_repeats_the_draws_of_another():
    """With workers that start anew in each epoch mmengine's seeding does just that."""

    def init(worker):
        worker_init_fn(worker, num_workers=1, rank=0, seed=7)

    def draws(resumable):
        made = loader(workers=1, resumable=resumable, worker_init_fn=init, batch_size=4)
        epochs = [epoch(made, n) if resumable else list(made) for n in (0, 1)]
        return [torch.cat(batches)[:, 1:] for batches in epochs]

    stock = draws(resumable=False)
    assert torch.equal(*stock)
    ours = draws(resumable=True)
    assert not torch.isin(ours[0], ours[1]).any()


@pytest.mark.parametrize(
    'sampler',
    [RandomSampler(Noise()), WeightedRandomSampler([0.5] * 11, 11)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_samplers_of_torch_draw_an_order_of_the_epoch(sampler):
    made = loader(sampler=sampler, batch_size=3)
    whole = epoch(made, 4)
    torch.rand(5)
    assert equal(epoch(made, 4, first=2), whole[2:])
    assert not equal(epoch(made, 5), whole)


def test_epochs_are_counted_if_nobody_says_which_it_is():
    """As in loops that count iterations."""
    made, told = loader(), loader()
    passes = [list(made) for _ in range(3)]
    for number, batches in enumerate(passes):
        told.batch_sampler.begin(number)
        assert equal(list(told), batches)


def test_batch_samplers_and_attributes():
    sampler = DefaultSampler(Noise(), shuffle=True, seed=1)
    made = loader(batch_sampler=BatchSampler(sampler, batch_size=4, drop_last=True))
    assert sampler_of(made) is sampler
    assert (len(made), made.batch_sampler.batch_size, made.batch_sampler.drop_last) == (2, 4, True)
    assert [len(batch) for batch in epoch(made)] == [4, 4]
    with pytest.raises(AttributeError, match='no_such_thing'):
        made.batch_sampler.no_such_thing  # noqa: B018


def test_a_sampler_that_never_starts_anew_is_brought_forward(tmp_path):
    from mmpose.datasets import CombinedDataset
    from mmpose.datasets.samplers import MultiSourceSampler

    class Parts(CombinedDataset):
        def __init__(self):
            self.datasets, self._lens = [Noise(7), Noise(5)], [7, 5]

        def __len__(self):
            return 12

        def __getitem__(self, index):
            return torch.tensor(float(index))

    def made():
        parts = Parts()
        sampler = MultiSourceSampler(parts, batch_size=4, source_ratio=[1, 1], seed=3)
        return loader(dataset=parts, sampler=sampler, batch_size=4)

    one = made()
    epochs = [epoch(one, number) for number in range(3)]
    other = made()
    replay(other, 2)
    assert equal(epoch(other, 2, first=1), epochs[2][1:])
