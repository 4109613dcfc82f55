"""Where a training goes on with other batches, by hand; schedules against fresh ones."""

import pytest
import torch
from mmengine.optim import CosineAnnealingLR, LinearLR, MultiStepLR

from rlepose_ext.engine.resume_state import Layout, Position, carry_over, stretch

TWO = Layout(processes=2, batch_size=16, batches=32, samples=1000)
ONE = Layout(processes=1, batch_size=16, batches=63, samples=1000)
THREE = Layout(processes=3, batch_size=16, batches=21, samples=1000)
AT = Position(epoch=4, iteration=4 * 32 + 10, batch=10, validated=False)


def test_nothing_changes_and_nothing_is_said():
    assert carry_over(AT, TWO, TWO) == (AT, [])


def test_half_the_processes():
    position, notes = carry_over(AT, TWO, ONE)
    # 10 * 32 samples are 20 * 16
    assert position == Position(4, 4 * 63 + 20, 20, False)
    text = ' | '.join(notes)
    assert '2 processes then, 1 now' in text
    assert 'an iteration has 16 samples in all, not 32' in text
    assert 'at iteration 21 of 63, after 10 of 32: 0 samples are seen again' in text
    assert '272 count as done instead of 138' in text


def test_rounding_repeats_less_than_a_batch_and_leaves_nothing_out():
    for batch in range(1, 32):
        position, notes = carry_over(Position(0, batch, batch, False), TWO, THREE)
        again = batch * 32 - position.batch * 48
        assert 0 <= again < 48
        assert any(f': {again} sample' in note for note in notes)


def test_an_epoch_that_is_over_stays_over():
    position, _ = carry_over(Position(4, 5 * 32, 32, False), TWO, THREE)
    assert position == Position(4, 5 * 21, 21, False)
    position, notes = carry_over(Position(5, 5 * 32, 0, True), TWO, ONE)
    assert position == Position(5, 5 * 63, 0, True)
    assert not any('goes on at' in note for note in notes)


def test_same_batch_in_all_from_fewer_processes():
    position, notes = carry_over(AT, TWO, Layout(1, 32, 32, 1000))
    assert position == AT
    assert len(notes) == 1


def test_another_data_set_begins_the_epoch_anew():
    position, notes = carry_over(AT, TWO, Layout(2, 16, 16, 500))
    assert position == Position(4, 64, 0, False)
    assert 'the data set has 500 samples, not 1000' in notes
    assert 'the epoch begins anew' in notes


@pytest.mark.parametrize('old', [TWO, Layout(2, 16, 0, 1000)])
def test_trainings_that_count_iterations_keep_their_count(old):
    position, notes = carry_over(AT, old, Layout(1, 16, 0, 1000))
    assert position == AT
    assert len(notes) == 2


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def cosine(steps):
    return CosineAnnealingLR.build_iter_from_epoch(optimizer(), T_max=4, end=4, epoch_length=steps)


def test_a_schedule_of_epochs_goes_on_at_the_same_height():
    old, fresh = cosine(32), cosine(64)
    for _ in range(48):
        old.optimizer.step()
        old.step()
    for _ in range(96):
        fresh.optimizer.step()
        fresh.step()
    new = cosine(64)
    new.optimizer.load_state_dict(old.optimizer.state_dict())
    new.load_state_dict(stretch(old.state_dict(), new.state_dict(), 2.0))
    for _ in range(100):
        for schedule in (new, fresh):
            schedule.optimizer.step()
            schedule.step()
        assert new.last_step == fresh.last_step
        values = [schedule.optimizer.param_groups[0]['lr'] for schedule in (new, fresh)]
        assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_a_schedule_of_iterations_goes_on_where_it_was():
    warm_up = LinearLR(optimizer(), start_factor=0.1, by_epoch=False, end=50)
    for _ in range(20):
        warm_up.optimizer.step()
        warm_up.step()
    again = LinearLR(optimizer(), start_factor=0.1, by_epoch=False, end=50)
    assert stretch(warm_up.state_dict(), again.state_dict(), 2.0) == warm_up.state_dict()

    # its end is that of the training, its milestones are the user's
    steps = MultiStepLR(optimizer(), milestones=[10, 30], by_epoch=False, end=128)
    again = MultiStepLR(optimizer(), milestones=[10, 30], by_epoch=False, end=256)
    found = stretch(steps.state_dict(), again.state_dict(), 2.0)
    assert found == {**steps.state_dict(), 'end': 256}


def test_a_schedule_that_counts_epochs_is_left_alone():
    saved = MultiStepLR(optimizer(), milestones=[1]).state_dict()
    assert stretch(saved, {**saved, 'milestones': {2: 1}}, 2.0) == saved
