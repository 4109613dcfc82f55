"""``rlepose demo``: poses of images, videos and cameras, drawn and written."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlepose_ext.errors import UserError

EPILOG = """\
examples:
  rlepose demo street.mp4
  rlepose demo photos/ --output-root drawn --save-predictions
  rlepose demo match.mp4 --det hog --track iou --smooth --draw-sigma
  rlepose demo 0 --show
  rlepose demo street.mp4 --det rtmdet.py rtmdet.pth --pose model.py model.pth
  find . -name '*.jpg' | rlepose demo - --det boxes.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        'demo',
        help='poses of images, videos and cameras',
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'input',
        nargs='+',
        help="images, videos, folders, patterns, a camera's number, or - for a list on stdin",
    )
    parser.add_argument(
        '--output-root', type=Path, default=Path('work_dirs/demo'), help='folder of the results'
    )
    parser.add_argument(
        '--det',
        nargs='+',
        default=['hog'],
        metavar='DETECTOR',
        help="'hog' (OpenCV's pedestrians, the default), 'full' (one person fills the image), "
        'a JSON file of boxes, or CONFIG CHECKPOINT of an mmdet model',
    )
    parser.add_argument(
        '--pose',
        nargs='+',
        default=None,
        metavar='MODEL',
        help='NAME of the zoo, or CONFIG CHECKPOINT; by default the first that is there, see '
        'docs/inference.md',
    )
    add_common(parser)
    parser.add_argument('--batch-size', type=int, default=32, help='persons at once')
    parser.add_argument('--no-flip-test', action='store_true', help='twice as fast, a bit worse')
    parser.add_argument(
        '--dtype',
        choices=('float32', 'bfloat16', 'float16'),
        default='float32',
        help='of the network',
    )
    parser.add_argument('--track', choices=('none', 'iou', 'oks'), default='iou', help='identities')
    parser.add_argument('--smooth', action='store_true', help='One-Euro filter over time')
    parser.add_argument('--det-interval', type=int, default=1, help='frames per detection')
    parser.add_argument('--draw-sigma', action='store_true', help="RLE's uncertainty as ellipses")
    parser.add_argument('--no-bbox', action='store_true', help='skeletons without boxes')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    parser.set_defaults(run=run)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Arguments that MMPose's demo has too, under its names and with its meanings."""
    parser.add_argument('--show', action='store_true', help='in a window too; Esc ends it')
    parser.add_argument('--save-predictions', action='store_true', help='JSON files beside')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda:0', ...")
    parser.add_argument('--det-cat-id', type=int, default=None, help='class to take for a person')
    parser.add_argument('--bbox-thr', type=float, default=0.3, help='lowest score of a box')
    parser.add_argument('--nms-thr', type=float, default=0.3, help='largest IoU of two boxes')
    parser.add_argument('--kpt-thr', type=float, default=0.3, help='lowest score of a joint')
    parser.add_argument('--show-kpt-idx', action='store_true', help='number of each joint')
    parser.add_argument('--radius', type=int, default=3, help='of joints, px')
    parser.add_argument('--thickness', type=int, default=1, help='of links, px')
    parser.add_argument('--alpha', type=float, default=0.8, help='opacity of the drawing')


def run(args: argparse.Namespace) -> int:
    """Run all inputs; one that fails does not stop the others."""
    from rlepose_ext.inference.setup import (
        check_display,
        choose_detector,
        choose_pose_model,
        run_all,
    )
    from rlepose_ext.inference.sources import check_names, find_sources

    if args.show:
        check_display()
    sources = find_sources(args.input)
    check_names(sources, by_stem=args.save_predictions)
    if len(args.det) > 2 or (args.pose and len(args.pose) > 2):
        raise UserError(
            '--det and --pose take one or two values; put the inputs before them: '
            'rlepose demo street.mp4 --det CONFIG CHECKPOINT'
        )
    detector = choose_detector(
        args.det, args.device, args.det_cat_id, args.bbox_thr, args.nms_thr, sources
    )
    estimator = choose_pose_model(
        args.pose,
        device=args.device,
        batch_size=args.batch_size,
        flip_test=False if args.no_flip_test else None,
        dtype=args.dtype,
    )
    return run_all(args, sources, detector, estimator)
