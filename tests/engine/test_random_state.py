"""All generators go on exactly where they were captured."""

import random

import numpy as np
import pytest
import torch

from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.engine.resumable import capture, kept_cpu_state, restore, seed_cpu, seed_from


def draw():
    numpy = np.random  # the global generator, as transforms use it
    return [
        random.random(),
        random.gauss(0, 1),
        float(numpy.rand()),
        float(numpy.randn()),
        float(torch.rand(())),
        float(torch.randn(())),
    ]


def test_captured_state_survives_a_checkpoint(tmp_path):
    draw()  # leaves half of a pair of normal numbers in python's and numpy's generator
    torch.save(capture(), tmp_path / 'state.pth')
    expected = draw()
    seed_cpu(5)
    restore(load_file(tmp_path / 'state.pth'))
    assert draw() == expected


def test_kept_even_after_an_error():
    seed_cpu(2)
    expected = draw()
    seed_cpu(2)

    def fail():
        with kept_cpu_state():
            draw()
            seed_cpu(9)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert draw() == expected


def test_seeds_of_a_checkpoint_of_today_mean_the_same_tomorrow():
    assert seed_from(1, 2, 3) == 6520558355739401531
    assert len({seed_from(0, 1), seed_from(1, 0), seed_from(-1), seed_from(1)}) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.gpu
def test_cuda_state_and_seeds_of_samples():
    state = capture()
    expected = torch.rand(3, device='cuda')
    restore(state)
    seed_cpu(4)  # does not touch it
    assert torch.equal(torch.rand(3, device='cuda'), expected)
