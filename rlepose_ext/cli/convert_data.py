"""``rlepose convert aic`` and ``rlepose convert wflw``: annotations to MMPose's json."""

from __future__ import annotations

import argparse


def add_kinds(kinds) -> None:
    """Register the two kinds."""
    aic = kinds.add_parser(
        'aic',
        help="AI Challenger's original json to COCO keypoint json",
        description="Write the file that MMPose's AicDataset reads.",
    )
    aic.add_argument('input', metavar='RAW', help='keypoint_train_annotations_20170909.json')
    _add_images(aic)
    aic.add_argument('output', metavar='OUT', help='json to write')
    aic.set_defaults(run=run_aic)
    wflw = kinds.add_parser(
        'wflw',
        help="WFLW's lists to MMPose's json, subsets included",
        description='Write face_landmarks_wflw_train.json, or face_landmarks_wflw_test.json and '
        'the files of its six subsets.',
    )
    wflw.add_argument('input', metavar='LIST', help='list_98pt_rect_attr_{train,test}.txt')
    _add_images(wflw)
    wflw.add_argument('output', metavar='OUT_DIR', help='folder for the json files')
    wflw.set_defaults(run=run_wflw)


def _add_images(kind: argparse.ArgumentParser) -> None:
    kind.add_argument('images', metavar='IMAGES', help='folder of the images')
    kind.add_argument('--skip-bad', action='store_true', help='leave out bad entries')
    kind.add_argument('--force', action='store_true', help='overwrite what is there')


def run_aic(args: argparse.Namespace) -> int:
    """Convert AI Challenger.

    Raises:
        UserError: bad entries, missing images, or OUT exists.
    """
    from rlepose_ext.annotations import aic
    from rlepose_ext.convert.files import check_target

    check_target(args.output, args.force)
    return _say(aic.convert(args.input, args.images, args.output, args.skip_bad))


def run_wflw(args: argparse.Namespace) -> int:
    """Convert one list of WFLW.

    Raises:
        UserError: bad lines, missing images, or a file exists.
    """
    from rlepose_ext.annotations import wflw
    from rlepose_ext.convert.files import check_target

    for file in wflw.outputs(args.input, args.output).values():
        check_target(file, args.force)
    return _say(wflw.convert(args.input, args.images, args.output, args.skip_bad))


def _say(converted) -> int:
    for problem in converted.left_out:
        print(f'left out, {problem}')
    for file, (images, number) in converted.files.items():
        print(f'{file}: {number:,} annotations of {images:,} images')
    return 0
