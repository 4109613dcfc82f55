"""Detect persons with mmdet, estimate their poses, draw and write them.

    python demo/topdown_demo_with_mmdet.py DET_CONFIG DET_CHECKPOINT POSE_CONFIG POSE_CHECKPOINT
        --input street.mp4 --output-root drawn --draw-bbox --save-predictions

Arguments and outputs are those of MMPose's demo of this name. What differs: any device is found
by itself, a video keeps its frame rate, its sound and all of its frames, and a frame with
nobody in it has no skeleton. ``rlepose demo`` is the same with fewer arguments and more choice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import rlepose_ext  # noqa: F401  (before mmpose: it mends what mmpose imports)
from rlepose_ext.cli.demo import add_common, typed
from rlepose_ext.errors import UserError
from rlepose_ext.inference.arguments import folder

PROGRAM = Path(__file__).stem


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('det_config', help='config file of the detector')
    parser.add_argument('det_checkpoint', help='its checkpoint, file or URL')
    parser.add_argument('pose_config', help='config file of the pose model')
    parser.add_argument('pose_checkpoint', help='its checkpoint, file or URL')
    parser.add_argument('--input', required=True, help="image, video, or 'webcam'")
    parser.add_argument('--output-root', type=typed(folder), help='folder of the results')
    add_common(parser)
    parser.set_defaults(det_cat_id=0, bbox_thr=0.3, nms_thr=0.3, radius=3, thickness=1)
    parser.add_argument('--draw-bbox', action='store_true', help='draw the boxes of persons')
    parser.add_argument('--draw-heatmap', action='store_true', help='with heatmaps')
    parser.add_argument(
        '--skeleton-style', choices=('mmpose', 'openpose'), default='mmpose', help='colours'
    )
    parser.add_argument('--show-interval', type=float, default=0, help='seconds between frames')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; status 2 with one message where something is wrong."""
    args = parse_args(argv)
    try:
        return run(args)
    except UserError as error:
        print(f'{PROGRAM}: error: {error}', file=sys.stderr)
        return 2


def run(args: argparse.Namespace) -> int:
    """Build the chain as :mod:`rlepose_ext.cli.demo` does."""
    if not args.show and args.output_root is None:
        raise UserError('nothing to do: give --output-root, --show, or both')
    if args.save_predictions and args.output_root is None:
        raise UserError('--save-predictions needs --output-root')
    from rlepose_ext.cli.run_inputs import check_display, run_all, style_of
    from rlepose_ext.inference.choose import build_detector
    from rlepose_ext.inference.drawing_stock import StockDrawing
    from rlepose_ext.inference.estimator import PoseEstimator
    from rlepose_ext.inference.predictors import TopDown
    from rlepose_ext.inference.sources import find_sources

    if args.show:
        check_display()
    sources = find_sources(args.input)
    detector = build_detector(
        [args.det_config, args.det_checkpoint],
        args.device,
        args.bbox_thr,
        args.nms_thr,
        args.det_cat_id,
    )
    options = {'model.test_cfg.score': 'logit'}  # of SimCC heads, as MMPose's script has it
    if args.draw_heatmap:
        options['model.test_cfg.output_heatmaps'] = True
    estimator = PoseEstimator(
        args.pose_config, args.pose_checkpoint, args.device, cfg_options=options
    )
    args.no_bbox, args.draw_sigma, args.quiet = not args.draw_bbox, False, False
    args.track, args.smooth, args.det_interval = 'none', False, 1
    args.save, args.vid_stride, args.start, args.end = ['image'], 1, None, None
    draw = None
    if args.draw_heatmap or args.skeleton_style != 'mmpose':
        draw = StockDrawing(estimator, style_of(args), args.skeleton_style, args.draw_heatmap)
    return run_all(args, sources, TopDown(detector, estimator), draw, PROGRAM)


if __name__ == '__main__':
    sys.exit(main())
