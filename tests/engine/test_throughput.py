"""Images per second: the arithmetic, and loaders that say their batch size in other ways.

That it stands in the log is tested in tests/visualization, for two processes in
tests/distributed.
"""

from types import SimpleNamespace

import pytest

from rlepose_ext.engine.throughput import batch_size_of, images_per_second


def test_all_processes_count():
    assert images_per_second(64, 8, 0.5) == 1024
    assert images_per_second(256, 1, 2.0) == 128


@pytest.mark.parametrize(('loader', 'size'), [
    (SimpleNamespace(batch_size=4), 4),
    (SimpleNamespace(batch_size=None, batch_sampler=SimpleNamespace(batch_size=3)), 3),
    (SimpleNamespace(batch_size=None, batch_sampler=[[0, 1]]), None),
    (iter([]), None),
])  # fmt: skip
def test_batch_size(loader, size):
    assert batch_size_of(loader) == size
