"""Curves of runs as small panels, one per metric; readable in black and white."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlepose_ext.errors import UserError
from rlepose_ext.run_logs.curves import Run

# Told apart by colour-blind eyes too (Okabe and Ito); dark enough on white.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#000000', '#E69F00', '#56B4E9')
# And by shape alone: the numbers of colours, lines and markers have no common factor.
LINES = ('-', '--', ':', '-.')
MARKERS = ('o', 's', '^', 'D', 'v')
PANEL = (4.6, 3.1)
SUFFIXES = ('.png', '.pdf', '.svg')
# Where the name in the log does not say what is counted.
AXIS_LABELS = {'lr': 'learning rate', 'time': 's', 'data_time': 's', 'memory': 'MB'}
# Markers on a curve, so that they do not run together.
MARKS = 8


def style(index: int) -> dict[str, object]:
    """Colour, line and marker of the run with this number; all three differ from its neighbour."""
    return {
        'color': COLORS[index % len(COLORS)],
        'linestyle': LINES[index % len(LINES)],
        'marker': MARKERS[index % len(MARKERS)],
    }


def check_target(path: Path) -> Path:
    """Refuse a file name that no picture can have.

    Raises:
        UserError: the ending is not .png, .pdf or .svg.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f'{path}: expected a file name that ends in {", ".join(SUFFIXES)}')
    return path


def draw_curves(runs: Sequence[Run], metrics: Sequence[str], path: Path) -> None:
    """Draw one panel per metric with one curve per run.

    Args:
        runs: at most some twenty; a run without a metric is missing in its panel.
        metrics: names as in :meth:`rlepose_ext.run_logs.curves.Run.metrics`.
        path: file to write, .png, .pdf or .svg.
    """
    columns = math.ceil(math.sqrt(len(metrics))) if len(metrics) > 3 else len(metrics)
    rows = math.ceil(len(metrics) / columns)
    width = max(PANEL[0] * columns, 6.4)
    # Inches: a sample of the line, and about 0.1 for a letter.
    beside = max(1, int(width / (0.9 + 0.1 * max(len(run.name) for run in runs))))
    size = (width, PANEL[1] * rows + 0.3 + 0.22 * math.ceil(len(runs) / beside))
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, metric in zip(axes[: len(metrics)], metrics, strict=True):
        _draw_panel(axis, runs, metric)
    for axis in axes[len(metrics) :]:
        axis.remove()
    handles = [axes[0].plot([], [], label=run.name, **style(i))[0] for i, run in enumerate(runs)]
    figure.legend(
        handles=handles, loc='outside upper left', ncols=beside, frameon=False, handlelength=4
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _draw_panel(axis: Axes, runs: Sequence[Run], metric: str) -> None:
    units = []
    for index, run in enumerate(runs):
        steps, values = run.curve(metric)
        if not steps:
            continue
        units.append(run.unit(metric))
        # Shifted from run to run: markers at one place would hide each other.
        spacing = max(1, math.ceil(len(steps) / MARKS))
        start = index * spacing // max(len(runs), 1) if spacing > 1 else 0
        axis.plot(
            steps, values, markevery=(start, spacing), markersize=4.5, linewidth=1.4, **style(index)
        )
    axis.set_title(metric, loc='left', fontsize=10, fontweight='bold')
    axis.set_xlabel(' or '.join(dict.fromkeys(units)))
    axis.set_ylabel(AXIS_LABELS.get(metric.removeprefix('val/'), metric))
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.grid(color='0.9', linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
