"""``rlepose export``: a trained model as one ONNX file, decoding included."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

EPILOG = """\
examples:
  rlepose export movenet-thunder
  rlepose export movenet-multipose --out people.onnx
  rlepose export configs/rle/rle_res50_8xb64-210e_coco-256x192.py epoch_210.pth --out rle.onnx
  rlepose demo --pose rle.onnx photo.jpg
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, compare, print.

    Raises:
        UserError: see :func:`rlepose_ext.export.onnx.export_onnx`.
    """
    from rlepose_ext.export.onnx import export_onnx

    out = args.out or Path(f'{Path(args.model).stem}.onnx')
    done = export_onnx(args.model, args.checkpoint, out, half=args.half, layout=args.layout)
    megabytes = done.path.stat().st_size / 1e6
    print(f'{done.path}: {megabytes:.1f} MB, {_takes(done.content)}, opset {done.content["opset"]}')
    print(f'{done.path.with_suffix(".json")}: what its inputs and joints are')
    print('differences from the checkpoint, on drawn people:')
    for each in done.differences:
        unit = ' px' if each.what in ('keypoints', 'sigma', 'boxes') else ''
        print(f'  {each.what:<10} largest {each.largest:.2g}{unit}, mean {each.mean:.2g}{unit}')
        if each.left_out:
            print(
                f'  {each.left_out:.0%} of the joints do not count: a thousandth of a grey level '
                'moves them'
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
