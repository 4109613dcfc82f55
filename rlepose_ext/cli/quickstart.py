"""``rlepose quickstart``: draw data, train, test and draw poses, in five minutes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rlepose_ext.cli.arguments import seed
from rlepose_ext.errors import UserError


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        'quickstart',
        help='train on a drawn data set, test, and draw what is found (make demo)',
        description='Draws a data set of people, trains an RLE model on it, tests it, and draws '
        'skeletons on held-out images. Five to eight minutes on two CPU cores.',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/quickstart'),
        help='folder for everything (default: %(default)s)',
    )
    parser.add_argument('--train-images', type=int, metavar='N', help='drawings to train on')
    parser.add_argument('--val-images', type=int, metavar='N', help='drawings to test on')
    parser.add_argument('--seed', type=seed, default=0, help='of drawings and training')
    parser.add_argument('--epochs', type=int, default=None, help='epochs of the RLE stage')
    parser.add_argument('--lowest-ap', type=float, default=None, help='status 1 below this AP')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        help='override keys of the RLE config: key=value ...',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 if the model reached the lowest AP, else 1."""
    from rlepose_ext.quickstart import Quickstart, run_quickstart
    from rlepose_ext.quickstart.photograph import draw_photograph

    chosen = {
        'num_train': args.train_images,
        'num_val': args.val_images,
        'lowest_ap': args.lowest_ap,
    }
    options = Quickstart(
        out=args.out,
        seed=args.seed,
        epochs=args.epochs,
        cfg_options=tuple(args.cfg_options),
        **{name: value for name, value in chosen.items() if value is not None},
    )
    good = run_quickstart(options)
    try:
        draw_photograph(options.out)
    except UserError as error:
        # An extra: what was asked for is done, and its status stands.
        print(f'rlepose: the photograph was left out: {error}', file=sys.stderr)
    return 0 if good else 1
