"""``rlepose convert lip``: LIP's csv of poses to the COCO keypoint json that configs/lip reads."""

from __future__ import annotations

import argparse

from rlepose_ext.errors import UserError


def add_kind(kinds) -> None:
    """Register ``rlepose convert lip CSV [IMAGES OUT]``."""
    kind = kinds.add_parser(
        'lip',
        help="LIP's csv of poses to COCO keypoint json",
        description='Write the annotations that configs/lip reads. With CSV alone nothing is '
        'written: the file is checked and counted.',
    )
    kind.add_argument('input', metavar='CSV', help='49 columns, no header')
    kind.add_argument('images', metavar='IMAGES', nargs='?', help='folder of its images')
    kind.add_argument('output', metavar='OUT', nargs='?', help='json to write')
    kind.add_argument(
        '--skip-bad', action='store_true', help='leave out bad lines and lines without an image'
    )
    kind.add_argument('--force', action='store_true', help='overwrite OUT')
    kind.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, or count, LIP's csv.

    Raises:
        UserError: bad lines, missing images, or OUT exists.
    """
    from rlepose_ext.annotations import lip_csv
    from rlepose_ext.convert.files import check_target

    remedy = 'Correct them, or add --skip-bad to leave these lines out.'
    if args.images is None:
        rows, problems = lip_csv.read_csv(args.input)
        for problem in problems if args.skip_bad else ():
            print(f'left out, {problem}')
        lip_csv.refuse(args.input, [] if args.skip_bad else problems, remedy)
        print(f'{args.input}: {lip_csv.statistics(rows)}')
        return 0
    if args.output is None:
        raise UserError('expected CSV IMAGES OUT, or CSV alone to count; OUT is missing')
    output = check_target(args.output, args.force)
    counted, left_out, outside = lip_csv.convert(args.input, args.images, output, args.skip_bad)
    for problem in left_out:
        print(f'left out, {problem}')
    for problem in outside:
        print(f'kept, {problem}')
    print(f'{output}: {counted}')
    if left_out or outside:
        print(f'{len(left_out)} lines left out; {len(outside)} joints outside of their image, kept')
    return 0
