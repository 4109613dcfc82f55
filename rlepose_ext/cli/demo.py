"""Find persons and their poses in images, videos, streams and cameras, draw and write them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlepose_ext.cli.start import leave_out_meta_kernels, without_collecting
from rlepose_ext.errors import UserError
from rlepose_ext.inference.arguments import METHODS, folder, seconds, share

EPILOG = """\
examples:
  rlepose demo street.mp4
  rlepose demo photos/ --nested --output-root drawn --save image csv
  rlepose demo --preset best photo.jpg
  rlepose demo match.mp4 --det movenet-multipose --track oks --smooth --start 1:30 --end 2:00
  rlepose demo 0 --show
  rlepose demo rtsp://192.168.0.7/live --end 60 --save csv
  rlepose demo street.mp4 --det rtmdet.py rtmdet.pth --pose model.py model.pth
  rlepose demo photo.jpg --refine posefix.py posefix.pth
  find . -name '*.jpg' | rlepose demo - --det boxes.json
  rlepose demo photos/ --save-predictions --shard 2/8 --resume
"""
# What --save takes; :data:`rlepose_ext.inference.exports.SAVED` and nothing.
SAVE = ('none', 'image', 'crops', 'txt', 'csv')


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, []):
            return action.help
        return super()._get_help_string(action)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        'demo',
        help='poses of images, videos, streams and cameras',
        description=__doc__,
        epilog=EPILOG,
        formatter_class=HelpFormatter,
        usage='rlepose demo INPUT [INPUT ...] [options]',
    )
    parser.add_argument(
        'input',
        metavar='INPUT',
        nargs='*',
        default=[],
        help="image, video, folder, pattern, address (http, rtsp, ...), camera's number, or - for "
        'a list on standard input',
    )
    parser.add_argument('--nested', action='store_true', help='folders inside folders too')
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    models, output = groups['models'], groups['output']
    video, drawing = groups['video'], groups['drawing']
    models.add_argument('--preset', metavar='NAME', help='fast, balanced or best: a matching pair')
    models.add_argument(
        '--det',
        nargs='+',
        metavar=('NAME', 'CHECKPOINT'),
        help='detector: movenet-multipose, rtmdet-nano, rtmdet-tiny, rtmdet-m, full (one person '
        'fills the image), a JSON file of boxes, or CONFIG CHECKPOINT of mmdet; by default the '
        'first that is on this machine',
    )
    models.add_argument(
        '--pose',
        nargs='+',
        metavar=('NAME', 'CHECKPOINT'),
        help='pose model: a name of the zoo or of MMPose, CONFIG CHECKPOINT, or a file of '
        '`rlepose export`; by default the first that is on this machine',
    )
    models.add_argument(
        '--refine',
        nargs='+',
        metavar=('CONFIG', 'CHECKPOINT'),
        help='model of configs/posefix that corrects the poses',
    )
    output.add_argument(
        '--output-root',
        type=typed(folder),
        default=Path('work_dirs/demo'),
        metavar='FOLDER',
        help='where results go',
    )
    output.add_argument(
        '--save',
        nargs='+',
        metavar='WHAT',
        help='none, or some of image (drawn pictures and videos), crops (of persons), txt (label '
        'lines), csv (a row for each joint); default: image',
    )
    add_common(parser, groups)
    models.add_argument('--batch-size', type=int, default=32, metavar='N', help='persons at once')
    models.add_argument('--no-flip-test', action='store_true', help='twice as fast, a bit worse')
    models.add_argument(
        '--dtype',
        choices=('float32', 'bfloat16', 'float16'),
        default='float32',
        help='of the network',
    )
    video.add_argument('--vid-stride', type=int, default=1, metavar='N', help='every Nth frame')
    video.add_argument('--start', type=typed(seconds), metavar='TIME', help='seconds or h:m:s')
    video.add_argument('--end', type=typed(seconds), metavar='TIME', help='likewise')
    video.add_argument(
        '--track',
        choices=('none', *METHODS),
        default='iou',
        help='identities',
    )
    video.add_argument(
        '--smooth',
        action='store_true',
        help='calm tracked joints: a Kalman filter by sigma, or One-Euro',
    )
    video.add_argument(
        '--det-interval', type=int, default=1, metavar='N', help='detect in every Nth frame'
    )
    output.add_argument(
        '--shard', metavar='I/N', help='do the I-th of N parts of the inputs, I from 1'
    )
    output.add_argument(
        '--resume', action='store_true', help='leave out inputs that such a run has done'
    )
    output.add_argument('--quiet', action='store_true', help='no progress, no speed')
    drawing.add_argument('--no-bbox', action='store_true', help='skeletons without boxes')
    drawing.add_argument('--draw-sigma', action='store_true', help="RLE's uncertainty as ellipses")
    drawing.add_argument(
        '--draw-attention',
        action='store_true',
        help='where each joint looks, a tile for each (models of configs/tokenpose)',
    )
    parser.set_defaults(run=run)


GROUPS = ('models', 'video', 'output', 'drawing')


def add_common(
    parser: argparse.ArgumentParser, groups: dict[str, argparse._ArgumentGroup] | None = None
) -> None:
    """Arguments that MMPose's demo has too, under its names and with its meanings.

    Args:
        parser: they are added to it.
        groups: or to its groups of the names :data:`GROUPS`.
    """
    groups = groups or dict.fromkeys(GROUPS, parser)
    models, output, drawing = groups['models'], groups['output'], groups['drawing']
    models.add_argument('--device', default='auto', help='auto, cpu, cuda:0, ...')
    models.add_argument(
        '--bbox-thr',
        type=typed(share),
        metavar='X',
        help="lowest score of a box; default: the detector's",
    )
    models.add_argument(
        '--nms-thr',
        type=typed(share),
        metavar='X',
        help='largest IoU of two boxes; default: likewise',
    )
    models.add_argument(
        '--classes',
        '--det-cat-id',
        dest='det_cat_id',
        nargs='+',
        type=_number,
        metavar='ID',
        help='classes of an mmdet detector to take for persons; default: the one of that name',
    )
    output.add_argument('--save-predictions', action='store_true', help='JSON files too')
    output.add_argument('--show', action='store_true', help='in a window too; Esc in it ends')
    drawing.add_argument(
        '--kpt-thr', type=float, default=0.3, metavar='X', help='lowest score of a joint'
    )
    drawing.add_argument('--show-kpt-idx', action='store_true', help='number of each joint')
    drawing.add_argument(
        '--radius', type=float, metavar='PX', help='of joints; default: by size of the picture'
    )
    drawing.add_argument('--thickness', type=int, metavar='PX', help='of links; default: likewise')
    drawing.add_argument('--alpha', type=float, default=0.8, metavar='X', help='opacity')


def run(args: argparse.Namespace) -> int:
    """Run all inputs; one that fails does not stop the others."""
    leave_out_meta_kernels()
    with without_collecting():
        from rlepose_ext.cli.run_inputs import check_display, options_of, run_all, style_of
        from rlepose_ext.inference.attention import AttentionSheet
        from rlepose_ext.inference.choose import choose
        from rlepose_ext.inference.finished import Record, Shard, command_of
        from rlepose_ext.inference.sources import check_outputs, find_sources

        inputs = [*args.input, *take_values(args)]
        if not inputs:
            raise UserError(
                'no input: name an image, a video, a folder, a pattern, an address or a webcam'
            )
        # All that can be wrong is said before models are loaded.
        options_of(args)
        if args.show:
            check_display()
        sources = find_sources(inputs, nested=args.nested)
        if 'image' in args.save:
            check_outputs(sources, args.output_root)
        shard = Shard.parse(args.shard or '1/1')
        choice = choose(
            args.det,
            args.pose,
            args.preset,
            device=args.device,
            bbox_thr=args.bbox_thr,
            nms_thr=args.nms_thr,
            category=args.det_cat_id,
            refine=args.refine,
            video=any(source.is_film for source in sources),
            batch_size=args.batch_size,
            flip_test=False if args.no_flip_test else None,
            dtype=args.dtype,
        )
        detector, note = getattr(choice.predictor, 'detector', None), ''
        if hasattr(detector, 'check'):
            note = detector.check([source.name for source in sources])
        print(choice.why, file=sys.stderr)
        if note:
            print(note, file=sys.stderr)
    draw = AttentionSheet(choice.predictor, style_of(args)) if args.draw_attention else None
    if len(sources) == 1 and not (args.shard or args.resume):
        return run_all(args, sources, choice.predictor, draw)
    record = Record(args.output_root, shard, command_of(vars(args), choice.models))
    try:
        sources, said = record.begin(sources, args.resume)
        if said:
            print(said, file=sys.stderr)
        return run_all(args, sources, choice.predictor, draw, record=record)
    finally:
        record.close()


def take_values(args: argparse.Namespace) -> list[str]:
    """Set ``det``, ``pose``, ``refine``, ``det_cat_id`` and ``save`` to what belongs to them.

    An option that takes several values takes the inputs behind it too.

    Returns:
        Those inputs.

    Raises:
        UserError: values that are none of those that an option takes.
    """
    args.det, after_det = model_and_inputs(args.det)
    args.pose, after_pose = model_and_inputs(args.pose)
    args.refine, after_refine = model_and_inputs(args.refine)
    args.det_cat_id, after_classes = leading(
        args.det_cat_id, lambda value: isinstance(value, int), '--classes: expected numbers'
    )
    args.save, after_save = leading(
        args.save or ['image'],
        lambda value: value in SAVE,
        f'--save: expected some of {", ".join(SAVE)}',
    )
    if 'none' in args.save:
        if len(args.save) > 1:
            raise UserError('--save: none goes with nothing else')
        args.save = []
    return [*after_det, *after_pose, *after_refine, *after_classes, *after_save]


def leading(
    values: Sequence[Any] | None, fits: Callable[[Any], bool], expected: str
) -> tuple[list[Any] | None, list[str]]:
    """The values up to the first that does not fit, and the others.

    Raises:
        UserError: not even the first one fits.
    """
    if values is None:
        return None, []
    count = next((i for i, value in enumerate(values) if not fits(value)), len(values))
    if not count:
        raise UserError(f'{expected}, got {values[0]}')
    return list(values[:count]), list(values[count:])


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


def typed(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of :mod:`rlepose_ext.inference.arguments` as the ``type`` of an argument."""

    def read(text: str) -> Any:
        try:
            return reader(text)
        except ValueError as error:
            # Of others argparse does not show the message.
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _number(text: str) -> int | str:
    """A number; text is an input behind the option."""
    return int(text) if text.isascii() and text.isdigit() else text
