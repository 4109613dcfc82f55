"""A real training, killed and terminated from outside, ends as if nothing had happened.

``benchmarks/reliability.py`` does the same at many more moments; docs/reliability.md has
what came of it.
"""

import signal
from pathlib import Path

import pytest
import torch
from _interrupted import BATCHES, MODULES, Life, differences, draw, final
from _nursery import Nursery

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='bit by bit on the CPU'),
]
EPOCHS = 3
# When, with what, to whom, and the exit status: in an epoch, a save or a validation. Slurm and
# torchrun signal a process with all its workers.
STOPS = [
    (('train', 2), signal.SIGUSR1, True, 128 + signal.SIGUSR1),
    (('train', BATCHES - 1), signal.SIGKILL, False, -signal.SIGKILL),
    (('save', BATCHES), signal.SIGKILL, False, -signal.SIGKILL),
    (('validate', BATCHES), signal.SIGKILL, False, -signal.SIGKILL),
    (('train', 2 * BATCHES + 2), signal.SIGTERM, True, 128 + signal.SIGTERM),
]


@pytest.fixture(scope='module')
def nursery():
    with Nursery(MODULES, [Path(__file__).resolve().parents[2] / 'benchmarks']) as running:
        yield running


def test_ends_as_an_undisturbed_one(nursery, tmp_path):
    draw(str(tmp_path))
    arguments = {'data': str(tmp_path), 'epochs': EPOCHS}
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    undisturbed = Life(nursery, whole, **arguments)
    assert undisturbed.end() == 0, (whole / 'output.txt').read_text()[-2000:]
    for place, number, whole_group, status in STOPS:
        life = Life(nursery, parts, **arguments)
        life.wait_for(*place)
        life.send(number, whole_group)
        assert life.end() == status, (parts / 'output.txt').read_text()[-2000:]
        assert status < 0 or (parts / 'interrupted.pth').exists()
    # The number of workers makes no difference.
    assert Life(nursery, parts, workers=0, **arguments).end() == 0
    assert differences(final(parts, EPOCHS), final(whole, EPOCHS)) == []
    assert not (parts / 'interrupted.pth').exists()
    text = (parts / 'output.txt').read_text()
    assert 'making up for the validation' in text
    assert f'after iteration {2 * BATCHES + 3}, 3 of {BATCHES} of the epoch' in text
    assert 'Traceback' not in text
