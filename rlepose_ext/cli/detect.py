"""``rlepose detect``: boxes of a data set's images in COCO's results format."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlepose_ext.cli.demo import typed
from rlepose_ext.inference.arguments import share

EPILOG = """\
example:
  rlepose detect data/coco/annotations/person_keypoints_val2017.json data/coco/val2017 \\
      --det rtmdet-m --coco-json work_dirs/boxes.json
  rlepose test CONFIG -C CHECKPOINT --boxes gt,work_dirs/boxes.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        'detect',
        help="boxes of a data set's images, to test a pose model in them",
        description="Detect persons in a data set's images and write a file of boxes: the "
        'bbox_file of a config, --boxes of `rlepose test`.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('ann', metavar='ANN', type=Path, help='COCO json that lists the images')
    parser.add_argument('images', metavar='IMAGES', type=Path, help='folder of its images')
    parser.add_argument('--coco-json', metavar='OUT', required=True, help='json to write')
    parser.add_argument(
        '--det',
        nargs='+',
        metavar=('NAME', 'CHECKPOINT'),
        help='as for `rlepose demo`; by default the first that is on this machine',
    )
    parser.add_argument(
        '--bbox-thr',
        type=typed(share),
        default=0.05,
        metavar='X',
        help='lowest score; AP counts boxes of low scores too (default: 0.05)',
    )
    parser.add_argument(
        '--nms-thr', type=typed(share), metavar='X', help='largest IoU of two boxes'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda:0, ...')
    parser.add_argument('--force', action='store_true', help='overwrite OUT')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Detect, write and count.

    Raises:
        UserError: no such detector, another annotation file, images that cannot be read, or OUT
            exists.
    """
    from rlepose_ext.cli.run_inputs import quiet_upstream
    from rlepose_ext.convert.files import check_target
    from rlepose_ext.inference.box_file import write_boxes
    from rlepose_ext.inference.choose import build_detector, first_detector

    check_target(args.coco_json, args.force)
    quiet_upstream()
    detector = build_detector(
        args.det or [first_detector([])], args.device, args.bbox_thr, args.nms_thr
    )
    boxes, images = write_boxes(detector, args.ann, args.images, args.coco_json)
    print(f'{args.coco_json}: {boxes:,} boxes in {images:,} images')
    return 0
