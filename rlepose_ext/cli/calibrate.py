"""``rlepose calibrate``: is sigma true? Measured, repaired, and proved on held-out labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlepose_ext.cli.arguments import seed

EPILOG = """\
examples:
  rlepose calibrate configs/rle/rle_res50_8xb64-210e_coco-256x192.py epoch_210.pth
  rlepose calibrate CONFIG file.pth --data my_labels.json my_pictures/
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        'calibrate',
        help='make the uncertainty of a model true, from held-out labels',
        description='Fit on one half of the images, prove on the other, and write a copy of the '
        'checkpoint whose sigma_px and ellipse_95 hold what they say.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('model', metavar='CONFIG', help='config file, or a name of the zoo')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='a .pth file')
    parser.add_argument(
        '--data',
        nargs=2,
        metavar=('ANNOTATIONS', 'IMAGES'),
        help='COCO keypoints that the model has not seen, and their folder (default: what the '
        'config validates on)',
    )
    parser.add_argument(
        '--out', type=Path, help='the checkpoint to write (default: CHECKPOINT_calibrated.pth)'
    )
    parser.add_argument(
        '--report', type=Path, help='folder of JSON and plots (default: CHECKPOINT_calibration)'
    )
    parser.add_argument(
        '--isotonic', action='store_true', help='correct sigma by a rising curve too'
    )
    parser.add_argument('--seed', type=seed, default=0, help='of the halves and the intervals')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda:0')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Calibrate and print the table.

    Raises:
        UserError: see :func:`rlepose_ext.inference.calibrating.calibrate`.
    """
    from rlepose_ext.calibration.report import as_text
    from rlepose_ext.inference.calibrating import calibrate

    done = calibrate(
        args.model, args.checkpoint, args.data, args.out, args.report, args.isotonic, args.seed,
        args.device,
    )  # fmt: skip
    content = done.content
    print(
        f'{content["persons"]} persons in {content["images"]} images; '
        f'{content["joints_that_prove"]} joints prove\n'
    )
    print(as_text(content['rows']), '\n')
    if content['left']:
        names = '; '.join(f'{name}: {why}' for name, why in content['left'].items())
        print(f'left uncalibrated: {names}')
    print(f'{done.report}: all numbers by joint, visibility and size, and two plots')
    print(f'{done.checkpoint}: the checkpoint with its calibration')
    return 0
