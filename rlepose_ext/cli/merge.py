"""``rlepose merge``: the predictions of many inputs in one COCO keypoint results file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        'merge',
        help='predictions of many inputs in one COCO results file',
        description="Put the predictions of many inputs into one file in COCO's results format.",
        epilog='The folder is that of `rlepose demo FOLDER --save-predictions --resume`, all '
        'shards of which are done.',
    )
    parser.add_argument('folder', metavar='FOLDER', type=Path, help='--output-root of the run')
    parser.add_argument(
        '--into', type=Path, help='the file to write (default: FOLDER/predictions.json)'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Join and say what there is.

    Raises:
        UserError: something is missing or torn.
    """
    from rlepose_ext.inference.merging import merge

    merged = merge(args.folder, args.into or args.folder / 'predictions.json')
    for text in merged.failed:
        print(f'rlepose merge: failed, and not in the file: {text}', file=sys.stderr)
    print(
        f'{merged.path}: {merged.poses} poses of {merged.frames} images and frames of '
        f'{merged.inputs} inputs; which is which says {merged.images}'
    )
    return 0
