"""What is left to do of a chain: which stages to pass over, to go on with, or to start."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rlepose_ext.chain.settings import differences, settings_of
from rlepose_ext.chain.state import DONE, ChainState
from rlepose_ext.chain.table import Chain, Stage
from rlepose_ext.checkpoints.files import damage, latest_whole
from rlepose_ext.errors import UserError

SKIP, RESUME, START = 'skip', 'resume', 'start'
_NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')


@dataclass(frozen=True)
class Step:
    """What to do with one stage.

    Attributes:
        stage: the stage.
        action: ``'skip'``, ``'resume'`` or ``'start'``.
        start: which stage it starts from and what it takes of it; None for the first.
        settings: what it is to be trained with.
        notes: lines for the user.
    """

    stage: Stage
    action: str
    start: str | None
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()


def make_plan(
    chain: Chain, state: ChainState, cfg_options: Sequence[str], extra: dict[str, Any]
) -> list[Step]:
    """One step for each stage; nothing is written.

    Args:
        chain: the chain.
        state: how far it is.
        cfg_options: overrides, ``key=value``.
        extra: what else decides what is learned, such as ``{'--amp': True}``.

    Raises:
        UserError: a stage that is done was trained with other settings, or its checkpoint is
            damaged where it is needed, or a folder has checkpoints of unknown origin.
    """
    steps: list[Step] = []
    previous = None
    for number, stage in enumerate(chain.stages):
        settings = {**settings_of(stage, cfg_options), **extra}
        start = None if previous is None else f'{stage.takes} of {previous.name}'
        following = chain.stages[number + 1].name if number + 1 < len(chain.stages) else None
        steps.append(_step(stage, settings, start, state, following))
        previous = stage
    for early, late in pairwise(steps):
        if early.action == START and late.action != START:
            raise UserError(
                f'stage {late.stage.name} in {state.folder} is {state.status(late.stage.name)}, '
                f'but {early.stage.name}, from which it starts, is not there. Put that folder '
                f'and {state.path.name} back, or give another --work-dir.'
            )
    return steps


def last_checkpoint(folder: Path, settings: dict[str, Any], warn: Callable[[str], None]) -> Path:
    """The checkpoint at the end of a finished training.

    Args:
        folder: the training's work directory.
        settings: what it was trained with.
        warn: gets a line for each damaged file.

    Raises:
        UserError: there is none, or the newest is from before the end.
    """
    path = latest_whole(folder, warn)
    length = settings.get('train_cfg', {})
    ends = {'epoch': length.get('max_epochs'), 'iter': length.get('max_iters')}
    match = None if path is None else _NUMBERED.fullmatch(path.name)
    whole = match is not None and int(match[2]) >= (ends[match[1]] or 0)
    if not whole:
        found = 'there is none' if path is None else f'the newest is {path.name}'
        raise UserError(
            f'the training in {folder} has ended without its last checkpoint: {found}. Its log '
            'says why, such as a full disk. Run the same command again to go on.'
        )
    return path


def _step(
    stage: Stage,
    settings: dict[str, Any],
    start: str | None,
    state: ChainState,
    following: str | None,
) -> Step:
    folder = state.folder / stage.name
    status = state.status(stage.name)
    if status is None:
        if folder.is_dir() and any(folder.glob('*.pth')):
            raise UserError(
                f'{folder} has checkpoints, but {state.path} says nothing of them. Move the '
                'folder away, or give another --work-dir.'
            )
        return Step(stage, START, start, settings)
    changed = _changed(state.stages[stage.name], settings, start)
    if status == DONE:
        if changed:
            raise UserError(
                f'stage {stage.name} is finished, but its config has changed since:\n'
                f'{_listed(changed)}\nTake the change back, or give another --work-dir, or move '
                f'{folder} away and remove the stage from {state.path} to train it again.'
            )
        return _finished(stage, settings, start, state, following)
    found = latest_whole(folder, lambda text: None) if folder.is_dir() else None
    if found is None:
        return Step(stage, START, start, settings)
    notes = (f'goes on from {found.name}',)
    if changed:
        notes += (f'its config has changed since it began:\n{_listed(changed)}',)
    return Step(stage, RESUME, start, settings, notes)


def _finished(
    stage: Stage,
    settings: dict[str, Any],
    start: str | None,
    state: ChainState,
    following: str | None,
) -> Step:
    checkpoint = state.checkpoint(stage.name)
    # Once the next stage is done, this one's is no longer needed.
    if following is not None and state.status(following) == DONE:
        return Step(stage, SKIP, start, settings)
    problem = damage(checkpoint)
    if problem is None:
        return Step(stage, SKIP, start, settings, (f'finished: {checkpoint}',))
    older = latest_whole(checkpoint.parent, lambda text: None)
    if older is None:
        raise UserError(
            f'stage {stage.name} is finished, but of {checkpoint} {problem}, and no other '
            f'checkpoint there is whole. Put the file back, or move {checkpoint.parent} away and '
            f'remove the stage from {state.path} to train it again.'
        )
    note = f'of {checkpoint} {problem}: goes on from {older.name}'
    return Step(stage, RESUME, start, settings, (note,))


def _changed(record: dict[str, Any], settings: dict[str, Any], start: str | None) -> list[str]:
    lines = differences(record['settings'], settings)
    if record.get('start') != start:
        lines.insert(0, f'starts from: {record.get("start")}, now {start}')
    return lines


def _listed(lines: list[str], most: int = 10) -> str:
    rest = [f'  ... and {len(lines) - most} more'] if len(lines) > most else []
    return '\n'.join([*(f'  {line}' for line in lines[:most]), *rest])
