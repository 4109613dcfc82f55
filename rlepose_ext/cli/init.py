"""``rlepose init``: a data set, metainfo and a config from labels of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlepose_ext.cli.arguments import seed

EPILOG = """\
examples:
  rlepose init data/geckos --labels labels.json
  rlepose init data/mice --labels csv --name mouse
  rlepose init data/hands --labels labelme --skip-bad
docs/own_data.md goes from labels to a deployed model.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        'init',
        help='a data set, metainfo and a config from labels of your own',
        description='Read what a labelling tool has written, guess flip pairs and skeleton, and '
        'write annotation files, metainfo, a config that fits the size of the data, and a contact '
        'sheet. Status 0: written; 2: nothing was written.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('folder', type=Path, metavar='DATA_FOLDER', help='with the images')
    parser.add_argument(
        '--labels',
        required=True,
        metavar='FILE|KIND',
        help='a file (COCO .json, CVAT .xml, YOLO data.yaml, .csv) or a folder of labelme; or '
        'coco, labelme, cvat, yolo, csv: the one in DATA_FOLDER',
    )
    parser.add_argument(
        '--second',
        metavar='FILE|KIND',
        help='labels of the same images by another person: OKS sigmas are measured from both',
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder to write (default: DATA_FOLDER/rlepose)'
    )
    parser.add_argument('--name', help='of the objects (default: that of DATA_FOLDER)')
    parser.add_argument(
        '--by-image', action='store_true', help='split image by image, also where names give videos'
    )
    parser.add_argument('--skip-bad', action='store_true', help='leave out what cannot be used')
    parser.add_argument('--force', action='store_true', help='replace what init has written before')
    parser.add_argument('--seed', type=seed, default=0, help='of the split (default: 0)')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write, and say what comes next."""
    from rlepose_ext.own_data.project import init

    options = ('labels', 'second', 'out', 'name', 'by_image', 'skip_bad', 'force', 'seed')
    print(init(args.folder, **{name: getattr(args, name) for name in options}))
    return 0
