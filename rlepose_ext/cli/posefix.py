"""``rlepose posefix``: the poses that PoseFix learns from and corrects."""

from __future__ import annotations

import argparse

# Its data sets say where files are looked for.
CONFIG = 'posefix_res50_2xb16-140e_coco-256x192'


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register ``rlepose posefix prepare MODEL [CHECKPOINT]``."""
    parser = subparsers.add_parser('posefix', help='input poses for PoseFix (docs/posefix.md)')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    prepare = commands.add_parser(
        'prepare',
        help='write the poses that a model finds in train and val',
        description='Test MODEL on the training and the validation set of a config of '
        'configs/posefix, and write what it finds where that config looks for it.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    prepare.add_argument('model', metavar='MODEL', help='top-down model: config, or name')
    prepare.add_argument(
        'checkpoint', metavar='CHECKPOINT', nargs='?', help='file or URL; if absent the public one'
    )
    prepare.add_argument(
        '--for', dest='target', metavar='CONFIG', default=CONFIG, help='config of PoseFix'
    )
    prepare.add_argument(
        '--split', nargs='+', choices=('train', 'val'), default=['train', 'val'], help='which'
    )
    prepare.add_argument(
        '--boxes', metavar='FILE', help='detected boxes for val; if absent those of the annotations'
    )
    prepare.add_argument('--force', action='store_true', help='overwrite files')
    prepare.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files.

    Raises:
        UserError: see :func:`rlepose_ext.inference.input_poses.prepare`.
    """
    from rlepose_ext.inference.input_poses import prepare

    options = {'splits': args.split, 'boxes': args.boxes, 'force': args.force}
    for split, path, count in prepare(args.model, args.checkpoint, args.target, **options):
        print(f'{split}: {count:,} poses in {path}')
    return 0
