"""Predict the poses of one image with any config and checkpoint, and draw them.

    python demo/image_demo.py IMAGE CONFIG CHECKPOINT --out-file drawn.jpg
    python demo/image_demo.py IMAGE CONFIG CHECKPOINT --out-file drawn.jpg --box 10 20 110 220

Without a box the whole image is taken for one person. Argument names are those of
MMPose's demo of this name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import rlepose_ext  # noqa: F401  (before mmpose: it mends what mmpose imports)
from rlepose_ext.errors import UserError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('img', type=Path, help='image file')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--out-file', type=Path, required=True, help='picture to write')
    parser.add_argument('--device', default='cpu', help="torch device, such as 'cuda:0'")
    parser.add_argument(
        '--box',
        type=float,
        nargs=4,
        action='append',
        metavar=('X1', 'Y1', 'X2', 'Y2'),
        help='box of a person in image pixels; may be given several times',
    )
    parser.add_argument('--kpt-thr', type=float, default=0.3, help='lowest score that is drawn')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Draw one image; status 2 if it cannot be read."""
    args = parse_args(argv)
    from rlepose_ext.inference import PoseEstimator
    from rlepose_ext.inference.images import write_image

    try:
        estimate = PoseEstimator(args.config, args.checkpoint, args.device)
        drawn = estimate(args.img, args.box).plot(kpt_thr=args.kpt_thr)
        write_image(args.out_file, drawn)
    except UserError as error:
        print(f'image_demo: error: {error}', file=sys.stderr)
        return 2
    print(args.out_file)
    return 0


if __name__ == '__main__':
    sys.exit(main())
