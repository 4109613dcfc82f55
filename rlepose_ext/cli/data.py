"""``rlepose data``: which data sets are known, whether one is consistent, how labels vary."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rlepose_ext.errors import UserError


def add_parser(subparsers) -> None:
    """Register ``rlepose data`` with its verbs."""
    parser = subparsers.add_parser('data', help='list and check data sets')
    verbs = parser.add_subparsers(metavar='VERB', required=True)
    listing = verbs.add_parser('list', help='the data sets that the configs use')
    _add_common(listing)
    listing.set_defaults(run=run_list)

    check = verbs.add_parser(
        'check',
        help='files, images, joints and flip pairs; status 1 if there are problems',
        description='Check a data set of `rlepose data list`, the data of a config, or your own. '
        'Status 0: all there and clean; 1: problems, which are listed; 2: wrong use.',
    )
    check.add_argument('name', metavar='NAME', nargs='?', help='a data set of `rlepose data list`')
    # not `config`: a config here has no checkpoint and no options
    check.add_argument('--config', metavar='CONFIG', help='check what this config reads')
    check.add_argument('--ann', metavar='FILE', help='annotations of your own, COCO keypoint json')
    check.add_argument('--images', metavar='DIR', help='the folder of their images')
    check.add_argument(
        '--metainfo',
        metavar='FILE',
        help='the file with their dataset_info, or a name of `rlepose data list`',
    )
    check.add_argument(
        '--sheet', metavar='OUT.jpg', help='draw persons of the first part with their joints'
    )
    check.add_argument(
        '--limit', metavar='N', type=int, help='look at N image files of each part only'
    )
    _add_common(check)
    check.set_defaults(run=run_check)

    sigmas = verbs.add_parser('sigmas', help='OKS sigmas from labels of two people')
    sigmas.add_argument('folder', metavar='DATA_FOLDER', type=Path, help='with the images')
    labels = 'labels of one, as `rlepose init --labels` takes them'
    sigmas.add_argument('first', metavar='FIRST', help=labels)
    sigmas.add_argument('second', metavar='SECOND', help='those of the other')
    sigmas.set_defaults(run=run_sigmas)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--root', metavar='DIR', help='folder of all data sets (default: RLEPOSE_DATA, else data)'
    )
    parser.add_argument('--json', action='store_true', help='print JSON')


def run_list(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    from rlepose_ext.annotations.catalogue import CATALOGUE
    from rlepose_ext.annotations.sources import data_root, is_there

    root = data_root(args.root)
    rows = [
        {
            'name': known.name,
            'joints': known.num_joints,
            'there': is_there(known, root),
            'title': known.title,
            'source': known.source,
        }
        for known in CATALOGUE.values()
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f'{"name":<10} {"joints":>6}  {"there":<8}  below {root}')
    for row in rows:
        print(f'{row["name"]:<10} {row["joints"]:>6}  {row["there"]:<8}  {row["title"]}')
        print(f'{"":<10} {"":>6}  {"":<8}  {row["source"]}')
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Check, print the report, draw the sheet.

    Returns:
        0, or 1 if there are problems.

    Raises:
        UserError: the arguments do not say what to check.
    """
    from rlepose_ext.annotations import report, sources
    from rlepose_ext.annotations.catalogue import known_set

    _refuse(args)
    reports = []
    root = sources.data_root(args.root)
    if args.name:
        reports += sources.check_known(known_set(args.name), root, args.limit)
    if args.config:
        reports += sources.check_config(args.config, args.root, args.limit)
    if args.ann:
        reports.append(sources.check_own(args.ann, args.images, args.metainfo, args.limit))
    if args.json:
        print(json.dumps(report.as_json(reports), indent=2, allow_nan=False))
    else:
        print(report.as_text(reports))
    status = 1 if any(part.problems for part in reports) else 0
    if args.sheet:
        try:
            drawn = sources.draw(reports, args.sheet)
        except UserError as error:
            if not status:
                raise
            print(f'no sheet: {error}', file=sys.stderr)  # the problems say more
        else:
            print(f'{drawn} drawn.', file=sys.stderr if args.json else sys.stdout)
    return status


def run_sigmas(args: argparse.Namespace) -> int:
    """Print a sigma for each joint, the line of metainfo, and what AP makes of them."""
    from rlepose_ext.own_data.sigmas import measure

    joints, sigmas, counts, ap = measure(args.folder, args.first, args.second)
    width = max(map(len, joints))
    for joint, sigma, count in zip(joints, sigmas, counts, strict=True):
        print(f'  {joint:<{width}}  {sigma:.4f}  from {count} pairs')
    print(f'sigmas={[round(float(sigma), 4) for sigma in sigmas]}')
    print('AP of SECOND against FIRST:')
    for factor, value in ap.items():
        print(f'  with {factor:g} times these sigmas  {value:.3f}')
    return 0


def _refuse(args: argparse.Namespace) -> None:
    own = {'--ann': args.ann, '--images': args.images, '--metainfo': args.metainfo}
    absent = [option for option, value in own.items() if value is None]
    if absent and len(absent) < len(own):
        given = ', '.join(sorted(set(own) - set(absent)))
        raise UserError(f'{given} needs {" and ".join(absent)} as well.')
    if not (args.name or args.config or args.ann):
        raise UserError(
            'expected what to check: a NAME of `rlepose data list`, --config CONFIG, or --ann FILE '
            '--images DIR --metainfo FILE.'
        )
    if args.limit is not None and args.limit < 1:
        raise UserError(f'--limit must be 1 or more, not {args.limit}.')
