"""``rlepose demo``: poses of images, videos and cameras, drawn and written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EPILOG = """\
examples:
  rlepose demo street.mp4
  rlepose demo photos/ --output-root drawn --save-predictions
  rlepose demo --preset best photo.jpg
  rlepose demo match.mp4 --det movenet-multipose --track oks --smooth
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
        nargs='*',
        help="images, videos, folders, patterns, a camera's number, or - for a list on stdin",
    )
    parser.add_argument(
        '--output-root', type=Path, default=Path('work_dirs/demo'), help='folder of the results'
    )
    parser.add_argument(
        '--det',
        nargs='+',
        default=None,
        metavar='DETECTOR',
        help='movenet-multipose, rtmdet-nano, rtmdet-tiny, rtmdet-m, full (one person fills the '
        'image), a JSON file of boxes, or CONFIG CHECKPOINT of an mmdet model; by default the '
        'first that is there',
    )
    parser.add_argument(
        '--pose',
        nargs='+',
        default=None,
        metavar='MODEL',
        help='NAME of the zoo or of MMPose, or CONFIG CHECKPOINT; by default the first that is '
        'there',
    )
    parser.add_argument(
        '--preset', help='fast, balanced or best: detector and model that go together'
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
    parser.add_argument(
        '--bbox-thr', type=float, default=None, help="lowest score of a box; default the detector's"
    )
    parser.add_argument(
        '--nms-thr', type=float, default=None, help='largest IoU of two boxes; default likewise'
    )
    parser.add_argument('--kpt-thr', type=float, default=0.3, help='lowest score of a joint')
    parser.add_argument('--show-kpt-idx', action='store_true', help='number of each joint')
    parser.add_argument('--radius', type=float, help='of joints, px; default by size')
    parser.add_argument('--thickness', type=int, help='of links, px; default by size')
    parser.add_argument('--alpha', type=float, default=0.8, help='opacity of the drawing')


def run(args: argparse.Namespace) -> int:
    """Run all inputs; one that fails does not stop the others."""
    from rlepose_ext.cli.run_inputs import check_display, run_all
    from rlepose_ext.inference.choose import choose
    from rlepose_ext.inference.sources import check_names, find_sources

    args.det, more = model_and_inputs(args.det)
    args.pose, most = model_and_inputs(args.pose)
    if args.show:
        check_display()
    sources = find_sources([*args.input, *more, *most])
    check_names(sources, by_stem=args.save_predictions)
    choice = choose(
        args.det,
        args.pose,
        args.preset,
        device=args.device,
        bbox_thr=args.bbox_thr,
        nms_thr=args.nms_thr,
        category=args.det_cat_id,
        batch_size=args.batch_size,
        flip_test=False if args.no_flip_test else None,
        dtype=args.dtype,
    )
    print(choice.why, file=sys.stderr)
    detector = getattr(choice.predictor, 'detector', None)
    if hasattr(detector, 'check'):
        note = detector.check([source.name for source in sources])
        if note:
            print(note, file=sys.stderr)
    return run_all(args, sources, choice.predictor)


def model_and_inputs(values: list[str] | None) -> tuple[list[str] | None, list[str]]:
    """What belongs to the model of ``--det NAME photo.jpg``, and what is an input behind it.

    A config is followed by its checkpoint; a name may be, which is then told by its suffix.
    """
    if not values:
        return None, []
    takes = 1
    if len(values) > 1 and (values[0].endswith('.py') or values[1].endswith(('.pth', '.pt'))):
        takes = 2
    return values[:takes], values[takes:]
