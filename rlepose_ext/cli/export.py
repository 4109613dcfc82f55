"""``rlepose export``: a trained model as one ONNX file, decoding included."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError

EPILOG = """\
examples:
  rlepose export movenet-thunder
  rlepose export movenet-multipose --out people.onnx
  rlepose export configs/rle/rle_res50_8xb64-210e_coco-256x192.py epoch_210.pth --out rle.onnx
  rlepose demo --pose rle.onnx photo.jpg
  rlepose export movenet-thunder --int8 --calibrate my_photos/
  rlepose export configs/quant/rle-qat....py epoch_10.pth --integer
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        'export',
        help='a trained model as one ONNX file',
        description='Write a model as one ONNX file: crops in, keypoints, scores and, for RLE, '
        'sigma out; of models that find everybody pictures in, and boxes out too. Both models run '
        'on drawn people, and their differences are printed.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('model', metavar='NAME|CONFIG', help='a name of the zoo, or a config file')
    parser.add_argument(
        'checkpoint', nargs='?', metavar='CHECKPOINT', help='by default the public one of the name'
    )
    parser.add_argument('--out', type=Path, help='the file; default: the name of the config, .onnx')
    parser.add_argument('--half', action='store_true', help='the network in float16: half the size')
    parser.add_argument(
        '--layout',
        default='rlepose',
        help="rlepose, or rtmlib: a SimCC model for rtmlib's RTMPose",
    )
    parser.add_argument(
        '--int8', action='store_true', help='the network in 8 bit, without training'
    )
    parser.add_argument(
        '--calibrate',
        metavar='FOLDER|ANNOTATIONS',
        help='pictures of persons, or COCO annotations beside theirs: 8-bit ranges come from them',
    )
    parser.add_argument(
        '--integer',
        action='store_true',
        help='of a quantised training: its tables of integers (.npz and .json) in place of ONNX',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, compare, print.

    Raises:
        UserError: options that do not go together; see the functions that it calls.
    """
    if args.int8 and args.calibrate is None:
        raise UserError(
            '--int8 needs persons to take ranges from: add --calibrate FOLDER, or annotations'
        )
    if args.calibrate is not None and not (args.int8 or args.integer):
        raise UserError('--calibrate is of --int8: add it')
    # The JSON files beside both have other names.
    out = args.out or Path(Path(args.model).stem + ('-integer.npz' if args.integer else '.onnx'))
    if args.integer:
        if args.int8 or args.half or args.layout != 'rlepose':
            raise UserError('--integer has its own format: leave --int8, --half and --layout out')
        from rlepose_ext.export.integer import export_integer

        done = export_integer(args.model, args.checkpoint, out, args.calibrate)
        kind = 'integers'
    else:
        from rlepose_ext.export.onnx import export_onnx

        done = export_onnx(
            args.model,
            args.checkpoint,
            out,
            half=args.half,
            layout=args.layout,
            calibrate=args.calibrate,
        )
        kind = f'opset {done.content["opset"]}'
    megabytes = done.path.stat().st_size / 1e6
    print(f'{done.path}: {megabytes:.1f} MB, {_takes(done.content)}, {kind}')
    print(f'{done.path.with_suffix(".json")}: what its inputs and joints are')
    if 'int8' in done.content:
        taken = done.content['int8']
        print(f'8 bit, with ranges from {taken["persons"]} persons of {args.calibrate}:')
        for tried in taken['tried']:
            print(
                f'  tried {_rounding(tried)}: {tried["px"]:.3g} px from the float model, mean of '
                f'keypoints{" plus mean of sigma" * ("sigma" in done.content["outputs"])}'
            )
        print(f'  taken: {_rounding(taken)}')
    people = 'drawn people' if args.calibrate is None else f'persons of {args.calibrate}'
    print(f'differences from the checkpoint, on {people}:')
    for each in done.differences:
        unit = ' px' if each.what in ('keypoints', 'sigma', 'boxes') else ''
        print(f'  {each.what:<10} largest {each.largest:.2g}{unit}, mean {each.mean:.2g}{unit}')
        if each.left_out:
            share = max(each.left_out, 0.01)
            print(
                f'  {share:.0%} of the joints do not count: where they are is decided by rounding'
            )
    return 0


def _takes(content: dict[str, Any]) -> str:
    if 'input_size' in content:
        width, height = content['input_size']
        return f'crops of {width}x{height}'
    how = content['picture']
    if how['type'] == 'fit':
        width, height = how['size']
        return f'pictures of {width}x{height}'
    return f'pictures with sides of multiples of {how["multiple"]}'


def _rounding(way: Mapping[str, Any]) -> str:
    left = ' and '.join(way['in_float'])
    return way['method'] + (f', {left} in float' if left else '')
