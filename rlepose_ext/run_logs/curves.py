"""Curves of loss and metrics from the logs of a run, over all its starts.

MMEngine's ``LocalVisBackend``, which is on in every config, writes one JSON object a line
into ``WORK_DIR/<time of the start>/vis_data/scalars.json``:

    {"lr": 0.004, "loss": -21.5, "epoch": 3, "iter": 150, "step": 150}     training
    {"coco/AP": 0.31, "time": 0.04, "step": 3}                             validation

``step`` is the iteration of the first kind and the epoch of the second (the iteration, if
the run counts iterations). A run that was stopped and resumed has a file for each start,
and the later file repeats what came after the last checkpoint of the earlier.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlepose_ext.errors import UserError

__all__ = ['Run', 'read_run']

LOG = 'vis_data/scalars.json'
Row = dict[str, float]
# Columns that are no curve of their own.
_AXES = ('step', 'iter', 'epoch')
_TIMES = ('time', 'data_time')
_FALLING = ('loss', 'nme', 'epe', 'mpjpe', 'error')


@dataclass(frozen=True)
class Run:
    """What the logs of one run say.

    Attributes:
        name: for the legend.
        train: rows of the training in the order of their iterations.
        val: rows of the validation, by epoch or iteration.
        starts: how often the run was started and logged something.
        bad_lines: lines that are not JSON: the last one of a run that was killed.
    """

    name: str
    train: list[Row] = field(default_factory=list)
    val: list[Row] = field(default_factory=list)
    starts: int = 1
    bad_lines: int = 0

    def metrics(self) -> dict[str, str]:
        """Names of the curves, and which kind of row has them, ``train`` or ``val``.

        A name that both have, such as ``time``, is the training's; that of the
        validation is ``val/time``.
        """
        found: dict[str, str] = {}
        for split, rows in (('train', self.train), ('val', self.val)):
            for row in rows:
                for name in row:
                    if name not in _AXES:
                        name = f'val/{name}' if split == 'val' and name in _TIMES else name
                        found.setdefault(name, split)
        return found

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of one metric; both empty if this run does not have it."""
        split = self.metrics().get(name)
        rows = self.val if split == 'val' else self.train
        key = name.removeprefix('val/') if split == 'val' else name
        points = [(row['step'], row[key]) for row in rows if key in row]
        return [step for step, _ in points], [value for _, value in points]

    def unit(self, name: str) -> str:
        """What the steps of a metric count, ``'iteration'`` or ``'epoch'``."""
        if self.metrics().get(name) == 'train':
            return 'iteration'
        # A run by iterations logs no epoch; with log_metric_by_epoch=False nor does a metric.
        epochs = [row['epoch'] for row in self.train if 'epoch' in row]
        steps = [row['step'] for row in self.val]
        by_epoch = not self.train or (epochs and max(steps, default=0) <= max(epochs) + 1)
        return 'epoch' if by_epoch else 'iteration'


def find_logs(work_dir: Path) -> list[Path]:
    """The log of each start of a run, the oldest first.

    Args:
        work_dir: folder of the run, or of one start in it.

    Raises:
        UserError: no such folder, or no log in it; names folders inside that have one.
    """
    if not work_dir.is_dir():
        raise UserError(f'{work_dir} is not a folder; give the --work-dir of a training')
    # The names are times: 20260102_030405.
    logs = sorted(work_dir.glob(f'*/{LOG}')) or sorted(work_dir.glob(LOG))
    if logs:
        return logs
    inside = sorted({path.parents[2] for path in work_dir.glob(f'*/*/{LOG}')})
    hint = f' Runs lie in {", ".join(map(str, inside[:5]))}: give those.' if inside else ''
    raise UserError(
        f'{work_dir}: expected logs */{LOG} of a training, found none.{hint} A run without '
        'LocalVisBackend among its vis_backends writes none.'
    )


def read_log(path: Path) -> tuple[list[Row], list[Row], int]:
    """Rows of one start.

    Returns:
        Rows of the training, rows of the validation, number of lines that are not JSON.
    """
    train: list[Row] = []
    val: list[Row] = []
    bad = 0
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict) or not _is_number(content.get('step')):
            bad += 1
            continue
        # log_with_hierarchy writes train/loss and val/coco/AP
        is_train = 'iter' in content or any(name.startswith('train/') for name in content)
        row = {
            name.removeprefix('train/' if is_train else 'val/'): value
            for name, value in content.items()
            if _is_number(value)
        }
        (train if is_train else val).append(row)
    return train, val, bad


def merge(starts: Sequence[Sequence[Row]]) -> list[Row]:
    """One line of rows from those of several starts, the oldest first.

    A start that goes back replaces what earlier ones logged from its first step on: what
    it computed is what the checkpoints hold.
    """
    rows: list[Row] = []
    for start in starts:
        if start:
            first = min(row['step'] for row in start)
            rows = [row for row in rows if row['step'] < first]
            # Twice the same step within a start: the last one counts.
            rows += {row['step']: row for row in start}.values()
    return sorted(rows, key=lambda row: row['step'])


def read_run(work_dir: Path, name: str | None = None) -> Run:
    """Read and merge all starts of a run.

    Raises:
        UserError: see :func:`find_logs`; or the logs have no row yet.
    """
    logs = find_logs(work_dir)
    read = [log for log in map(read_log, logs) if log[0] or log[1]]
    if not read:
        raise UserError(
            f'{logs[-1]}: expected lines of JSON, found none. A training writes its first one '
            'after default_hooks.logger.interval iterations: wait, or make it smaller.'
        )
    train, val, bad = zip(*read, strict=True)
    return Run(name or work_dir.resolve().name, merge(train), merge(val), len(read), sum(bad))


def short_names(folders: Sequence[Path]) -> list[str]:
    """Names for the legend: the ends of the paths, as long as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-length:]) for part in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def choose_metrics(runs: Sequence[Run], wanted: Sequence[str] = ()) -> list[str]:
    """Which metrics to draw.

    Args:
        runs: the runs.
        wanted: names; ``'all'`` for every metric. By default the losses, the accuracy
            while training, and the first metric of each evaluator.

    Raises:
        UserError: no run has a metric of that name; the message lists those there are.
    """
    known: dict[str, str] = {}
    for run in runs:
        known |= {name: split for name, split in run.metrics().items() if name not in known}
    if 'all' in wanted:
        return list(known)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise UserError(
            f'no run has the metric {", ".join(missing)}; there are {", ".join(sorted(known))}'
        )
    if wanted:
        return list(dict.fromkeys(wanted))
    losses = [name for name in known if name.startswith('loss')]
    # The only part of a loss is the loss again.
    losses = ['loss'] if len(losses) == 2 and 'loss' in losses else losses
    accuracies = [name for name in known if name.startswith('acc')]
    evaluators: dict[str, str] = {}
    for name, split in known.items():
        if split == 'val' and name.removeprefix('val/') not in _TIMES:
            evaluators.setdefault(name.partition('/')[0] if '/' in name else name, name)
    return sorted(losses) + accuracies + list(evaluators.values())


def best_of(name: str, steps: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Step and value of the best finite point: the lowest of losses and errors, else the highest.

    Raises:
        ValueError: no point is finite.
    """
    finite = [
        (value, step) for step, value in zip(steps, values, strict=True) if math.isfinite(value)
    ]
    falling = any(word in name.lower() for word in _FALLING)
    # The earliest of equal ones.
    value, step = min(finite) if falling else max(finite, key=lambda point: (point[0], -point[1]))
    return step, value


def describe(run: Run, metrics: Sequence[str]) -> str:
    """The last and the best value of each curve in lines of text."""
    starts = f', {run.starts} starts' if run.starts > 1 else ''
    torn = f', {run.bad_lines} broken lines left out' if run.bad_lines else ''
    lines = [f'{run.name}{starts}{torn}']
    for name in metrics:
        steps, values = run.curve(name)
        if not steps:
            lines.append(f'  {name}: not logged')
            continue
        text = f'  {name}: {values[-1]:.6g} at {run.unit(name)} {steps[-1]:.0f}'
        if _has_direction(name, run.metrics()[name]) and any(map(math.isfinite, values)):
            step, value = best_of(name, steps, values)
            text += f', best {value:.6g} at {step:.0f}'
        lines.append(text)
    return '\n'.join(lines)


def _has_direction(name: str, split: str) -> bool:
    """Whether more or less of it is better, as of losses and metrics, but not of times."""
    if split == 'val':
        return name.removeprefix('val/') not in _TIMES
    return name.startswith(('loss', 'acc'))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
