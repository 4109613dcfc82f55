"""Chunks of frames in several threads: the same results, in the same order."""

import threading
import time

import numpy as np
import pytest
import torch

from rlepose_ext.errors import UserError
from rlepose_ext.inference.engine import Engine, Options
from rlepose_ext.inference.parallel import in_order, torch_threads
from rlepose_ext.inference.types import PoseResult


def test_results_come_in_order_and_two_run_at_once():
    met = threading.Barrier(2, timeout=20)

    def work(item):
        met.wait()  # ends only where another thread is here too
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(in_order(work, range(10), 2)) == [n * n for n in range(10)]


@pytest.mark.parametrize('workers', [1, 2, 3])
def test_what_was_done_before_an_error_comes_first(workers):
    def work(item):
        if item == 7:
            raise UserError('seven')
        return item

    def items():
        yield from range(5)
        raise UserError('the source ends')

    for source, message, expected in ((items(), 'ends', 5), (range(20), 'seven', 7)):
        found = []
        with pytest.raises(UserError, match=message):
            found.extend(in_order(work, source, workers))
        assert found == list(range(expected))


def test_what_is_not_begun_when_the_caller_stops_is_left():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(lambda item: item, items(), 2)
    assert next(results) == 0
    results.close()
    assert len(taken) == 3


def test_networks_of_a_thread_have_their_number_of_threads():
    before = torch.get_num_threads()
    with torch_threads(3) as begin:
        (number,) = in_order(lambda _: torch.get_num_threads(), [0], 1, begin)
        assert torch.get_num_threads() == before
    assert number == 3
    (number,) = in_order(lambda _: torch.get_num_threads(), [0], 1)
    assert number == before


class Reader:
    """Frames whose first pixel is their number."""

    is_camera = False
    fps = 25.0

    def __init__(self, count, error=None):
        self.count, self.error, self.times = count, error, [n / 25 for n in range(count)]

    def frame_number(self, index):
        return index

    def seconds(self, index):
        return self.times[index]

    def __iter__(self):
        for number in range(self.count):
            yield np.full((4, 4, 3), number, np.uint8)
        if self.error:
            raise self.error


class Finder:
    """A person whose first joint is at the number of the frame; later frames are done earlier."""

    has_sigma = False
    meta: dict = {}

    def __init__(self, finds_everybody):
        self.finds_everybody = finds_everybody
        self.followed = []

    def predict(self, frames, names=(), clock=None):
        with clock('network'):
            time.sleep(0.01 * (5 - frames[0][0, 0, 0] % 5))
        numbers = [int(frame[0, 0, 0]) for frame in frames]
        assert [name.rpartition(':')[2] for name in names] == [str(n) for n in numbers]
        return [self._person(number) for number in numbers]

    def follow(self, frames, last, clock=None):
        with clock('network'):
            (frame,) = frames
        assert int(last.keypoints[0, 0, 0]) == frame[0, 0, 0] - 1
        self.followed.append(int(frame[0, 0, 0]))
        return [self._person(int(frame[0, 0, 0]))]

    @staticmethod
    def _person(number):
        points = np.full((1, 2, 2), number, np.float32)
        box = np.float32([[0, 0, 4, 4]])
        return PoseResult(box, np.ones(1, np.float32), points, np.ones((1, 2), np.float32))


class Named:
    name = path = label = 'clip.mp4'


@pytest.mark.parametrize('threads', [1, 2])
@pytest.mark.parametrize(('everybody', 'interval'), [(False, 1), (False, 3), (True, 3)])
def test_frames_of_a_video_come_in_order(everybody, interval, threads):
    torch.set_num_threads(threads)
    finder = Finder(everybody)
    options = Options(det_interval=interval, frames_at_once=4)
    engine = Engine(finder, options)
    results = list(engine._frames(Reader(13), Named))
    assert [result.frame for result in results] == list(range(13))
    assert [result.keypoints[0, 0, 0] for result in results] == list(range(13))
    assert engine.poses == 13
    between = [] if everybody or interval == 1 else [1, 2, 4, 5, 7, 8, 10, 11]
    assert finder.followed == between
    # each frame has its share of the time, and the engine has all of it
    total = sum(result.speed['network'] for result in results)
    assert total == pytest.approx(1000 * engine.clock.seconds['network'])


def test_frames_before_a_source_ends_early_are_given():
    engine, reader = Engine(Finder(True), Options()), Reader(7, UserError('broken'))
    found = []
    with pytest.raises(UserError, match='broken'):
        found.extend(poses.frame for poses in engine._frames(reader, Named))
    assert found == list(range(7))
