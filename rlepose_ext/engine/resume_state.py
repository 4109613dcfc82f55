"""Where a training stands, and where it goes on with another number of processes.

A checkpoint says how many iterations are done. That names the next batch only if batches
are as large as before. The order of samples within an epoch does not depend on the number
of processes (``DefaultSampler`` deals one order out in turn), so samples are what counts:

    first batch = floor(batches done * old batch in all / new batch in all)

Rounding down, less than one batch is seen a second time and nothing is left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

# Of the state of a schedule: its counters, and what it reads off the optimizer.
_PROGRESS = ('last_step', '_global_step')
_VALUES = ('base_values', '_last_value')


@dataclass(frozen=True)
class Layout:
    """How the samples of an epoch are dealt out.

    Attributes:
        processes: number of processes.
        batch_size: samples of one batch of one process; 0 if unknown.
        batches: iterations of an epoch; 0 if the training does not count epochs.
        samples: size of the data set; 0 if unknown.
    """

    processes: int
    batch_size: int
    batches: int
    samples: int

    @property
    def batch_in_all(self) -> int:
        """Samples of one iteration, over all processes."""
        return self.processes * self.batch_size


@dataclass(frozen=True)
class Position:
    """How far a training is.

    Attributes:
        epoch: finished epochs.
        iteration: finished iterations, all epochs together.
        batch: finished iterations of the epoch that is going on.
        validated: whether the validation after ``iteration`` is done, if one is due.
    """

    epoch: int
    iteration: int
    batch: int
    validated: bool


def pack(record: Layout | Position) -> dict[str, Any]:
    """As a checkpoint holds it."""
    return asdict(record)


def unpack(kind: type, values: dict[str, Any]) -> Any:
    """From a checkpoint; names that a later version may have added are passed over."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})


def carry_over(position: Position, old: Layout, new: Layout) -> tuple[Position, list[str]]:
    """Where a training goes on if its samples are dealt out differently now.

    Args:
        position: where it stopped.
        old: how samples were dealt out then.
        new: how they are now.

    Returns:
        Where it goes on, and one sentence for each thing that is different from then. Without
        a difference the position is the same and there is no sentence.
    """
    notes = []
    if new.processes != old.processes:
        notes.append(
            f'{_count(old.processes, "process", "processes")} then, {new.processes} now: random '
            'generators start from the seed again, and buffers of all processes are those of '
            'the first'
        )
    if new.batch_in_all != old.batch_in_all:
        notes.append(
            f'an iteration has {new.batch_in_all} samples in all, not {old.batch_in_all}; the '
            'learning rate stays as it was'
        )
    if not (old.batches and new.batches) or new.batches == old.batches == 0:
        return position, notes
    if new.batches == old.batches and new.samples == old.samples:
        return position, notes
    batch = 0
    if new.samples != old.samples:
        notes.append(f'the data set has {new.samples} samples, not {old.samples}')
        if position.batch:
            notes.append('the epoch begins anew')
    elif position.batch:
        done = position.batch * old.batch_in_all
        batch = min(done // new.batch_in_all, new.batches) if new.batch_in_all else 0
        if position.batch == old.batches:
            batch = new.batches
        again = max(done - batch * new.batch_in_all, 0)
        notes.append(
            f'the epoch goes on at iteration {batch + 1} of {new.batches}, after {position.batch} '
            f'of {old.batches}: {_count(again, "sample is", "samples are")} seen again'
        )
    iteration = position.epoch * new.batches + batch
    notes.append(
        f'an epoch has {new.batches} iterations, not {old.batches}: {iteration} count as done '
        f'instead of {position.iteration}, and schedules of epochs that count iterations are '
        'stretched alike'
    )
    return Position(position.epoch, iteration, batch, position.validated), notes


def stretch(saved: dict[str, Any], built: dict[str, Any], ratio: float) -> dict[str, Any]:
    """State of a schedule that was made from epochs and counts iterations.

    Such a schedule (``convert_to_iter_based``) has its length in iterations of the old
    run; built anew it has the right one. How far it is goes along in proportion. A schedule
    that was given in iterations is built as it was, and goes on as it was.

    Args:
        saved: state in the checkpoint.
        built: state as the config makes it now.
        ratio: iterations of an epoch now, by then.

    Returns:
        The state to go on with.
    """
    if saved.get('by_epoch', True):
        return saved
    settings = built.keys() - {'end', *_PROGRESS, *_VALUES}
    if all(saved.get(name) == built[name] for name in settings):
        return {**saved, 'end': built['end']}
    progress = {name: round(saved[name] * ratio) for name in _PROGRESS}
    return {**built, **{name: saved[name] for name in _VALUES}, **progress}


def _count(number: int, one: str, many: str) -> str:
    return f'{number} {one if number == 1 else many}'
