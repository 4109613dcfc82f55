"""``rlepose curves``: loss and metrics of runs in one picture."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers) -> None:
    """Register ``rlepose curves WORK_DIR ...``."""
    parser = subparsers.add_parser(
        'curves',
        help='draw loss and metric curves of one or several runs',
        description='Draw what MMEngine logged, all starts of a resumed run in one curve.',
    )
    parser.add_argument('work_dirs', metavar='WORK_DIR', nargs='+', help='folder of a training')
    parser.add_argument('--out', default='curves.png', help='.png, .pdf or .svg to write')
    parser.add_argument(
        '--metric',
        nargs='+',
        default=[],
        metavar='NAME',
        help="what to draw, such as loss coco/AP; 'all' for everything (default: the losses, "
        'the accuracy and the first metric of each evaluator)',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, draw, and print the last and the best value of each curve.

    Raises:
        UserError: a folder without logs, an unknown metric, a bad file name.
    """
    from rlepose_ext.run_logs import curves
    from rlepose_ext.run_logs.plot_curves import check_target, draw_curves

    out = check_target(Path(args.out))
    folders = [Path(folder) for folder in args.work_dirs]
    names = curves.short_names(folders)
    runs = [curves.read_run(*pair) for pair in zip(folders, names, strict=True)]
    metrics = curves.choose_metrics(runs, args.metric)
    draw_curves(runs, metrics, out)
    for each in runs:
        print(curves.describe(each, metrics))
    print(out)
    return 0
