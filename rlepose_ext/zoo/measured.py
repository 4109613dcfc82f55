"""What this project has measured of a config: results of trainings, and what it costs.

A number lies in one place, a JSON file of ``benchmarks/results``. Here is which rows of which
file belong to which config. A benchmark of speed has one file for each kind of machine.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.resources import resource

FOLDER = 'benchmarks/results'
COSTS = 'zoo_cost'


@dataclass(frozen=True)
class Result:
    """Figures of a config on a data set.

    Attributes:
        dataset: what it was evaluated on.
        metrics: name to value; fractions, NME in percent, as OpenMMLab's metafiles have them.
        source: ``measured here: FILE`` or ``quoted: WHOSE``.
        task: OpenMMLab's name of the task.
        runs: trainings that the values are means of, where it is known.
    """

    dataset: str
    metrics: Mapping[str, float] = field(hash=False)
    source: str
    task: str | None = None
    runs: int | None = None

    @property
    def measured(self) -> bool:
        """Whether this project measured it."""
        return self.source.startswith('measured here')


@dataclass(frozen=True)
class Cost:
    """What one picture through the network costs, on one thread in float32.

    Attributes:
        flops: operations, two for each multiply-add. Papers on pose estimation, HRNet's among
            them, call multiply-adds FLOPs: half of this.
        cpu_latency_ms: median time of a picture, batch 1.
        times_peer: how many times as long as the peer, measured in turns with it.
    """

    flops: int
    cpu_latency_ms: float
    times_peer: float | None = None


@dataclass(frozen=True)
class Measurement:
    """Where a result lies: mean of ``path`` over the rows of a benchmark that have ``where``."""

    config: str
    benchmark: str
    where: Mapping[str, Any] = field(hash=False)
    path: tuple[str, ...]
    dataset: str
    metric: str
    scale: float = 1.0


_FACES = {
    'td-hm_mobilenetv2-050_skps-1xb64_faces68-128x128': 'SKPS',
    'td-hm_mobilenetv2-050_1xb64_faces68-128x128': 'heatmap',
    'rle_mobilenetv2-050_1xb64_faces68-128x128': 'RLE',
}
MEASUREMENTS = (
    Measurement(
        'rle_resnet18-slim_1xb16-6e_synthetic-96x72',
        'quickstart',
        {'device': 'cpu'},
        ('metrics', 'coco/AP'),
        'drawn people',
        'AP',
    ),
    Measurement(
        'rle_mobilenetv2-050_1xb64-20e_lsp-192x192',
        'cpu_training_accuracy',
        {'name': 'ours'},
        ('lsp_val_pck', '0.2'),
        'LSP',
        'PCK@0.2',
    ),
    *(
        Measurement(config, 'faces68', {'name': name}, ('nme',), 'faces68', 'NME', 100.0)
        for config, name in _FACES.items()
    ),
)


def measured_results(folder: Path | None = None) -> dict[str, tuple[Result, ...]]:
    """Config stem to its results, for those whose JSON file is there.

    Args:
        folder: of the JSON files; the project's own if absent.
    """
    found: dict[str, tuple[Result, ...]] = {}
    for each in MEASUREMENTS:
        for file in files(each.benchmark, folder):
            values = [
                _at(row, each.path) * each.scale
                for row in _rows(file)
                if each.where.items() <= row.items()
            ]
            if values:
                result = Result(
                    each.dataset,
                    {each.metric: statistics.mean(values)},
                    f'measured here: {FOLDER}/{file.name}',
                    runs=len(values),
                )
                found[each.config] = (*found.get(each.config, ()), result)
    return found


def measured_costs(folder: Path | None = None) -> dict[str, Cost]:
    """Config path to its cost, of ``benchmarks/zoo_cost.py``.

    Args:
        folder: of the JSON files; the project's own if absent.
    """
    return {
        row['config']: Cost(
            row['flops'], row['milliseconds']['median'], (row.get('times_peer') or {}).get('median')
        )
        for row in rows(COSTS, folder)
    }


def files(name: str, folder: Path | None = None) -> list[Path]:
    """The files of a benchmark: ``NAME.json``, or a ``NAME.MACHINE.json`` of each machine.

    None where it was not run or is not installed.

    Args:
        name: of the benchmark.
        folder: of the JSON files; the project's own if absent.
    """
    try:
        folder = folder or resource(FOLDER)
    except FileNotFoundError:
        return []
    return sorted([*folder.glob(f'{name}.json'), *folder.glob(f'{name}.*.json')])


def rows(name: str, folder: Path | None = None) -> list[dict[str, Any]]:
    """The rows of all files of a benchmark.

    Raises:
        UserError: a file is damaged.
    """
    return [row for path in files(name, folder) for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text())['rows']
    except (ValueError, KeyError) as error:
        raise UserError(f'{path}: expected the JSON of a benchmark, with rows: {error}') from error


def _at(node: Any, path: tuple[str, ...]) -> float:
    for key in path:
        node = node[key]
    return float(node)
