"""``rlepose convert``: checkpoints of other projects into ones that MMPose takes."""

from __future__ import annotations

import argparse

from rlepose_ext.cli import convert_data, convert_gray, convert_lip
from rlepose_ext.errors import UserError
from rlepose_ext.version import __version__


def add_parser(subparsers) -> None:
    """Register ``rlepose convert KIND IN OUT``."""
    parser = subparsers.add_parser(
        'convert', help="convert another project's checkpoint to MMPose's names"
    )
    kinds = parser.add_subparsers(metavar='KIND', required=True)
    clean = kinds.add_parser(
        'mmpose-clean',
        help='MobileNetV2 models (RLE, SimCC) and backbones of MMPose_Clean',
        description='Write a checkpoint for `mim test -C`, or a backbone to start from.',
    )
    clean.add_argument('input', metavar='IN', help="MMPose_Clean's .pth file")
    clean.add_argument('output', metavar='OUT', help='file to write')
    which = clean.add_mutually_exclusive_group()
    which.add_argument(
        '--split', action='store_true', help='keep fc_coord and fc_sigma apart: RLEHead(split=True)'
    )
    which.add_argument(
        '--backbone',
        action='store_true',
        help="the backbone only, for init_cfg=dict(type='Pretrained', prefix='backbone.')",
    )
    clean.add_argument('--force', action='store_true', help='overwrite OUT')
    clean.set_defaults(run=run)
    convert_lip.add_kind(kinds)
    convert_gray.add_kind(kinds)
    convert_data.add_kinds(kinds)


def run(args: argparse.Namespace) -> int:
    """Convert one MMPose_Clean checkpoint.

    Raises:
        UserError: IN is missing or not MMPose_Clean's, or OUT exists.
    """
    from rlepose_ext.convert import files, mmpose_clean

    output = files.check_target(args.output, args.force)
    state = files.read_state_dict(args.input)
    try:
        if args.backbone:
            converted = mmpose_clean.convert_backbone(state)
        else:
            converted = mmpose_clean.convert_model(state, split=args.split)
    except UserError as error:
        raise UserError(f'{args.input}: {error}') from error
    simcc = 'head.mlp_head_x.weight' in converted
    kind = 'backbone' if args.backbone else 'split head' if args.split else 'joint head'
    kind = 'SimCC head' if simcc else kind
    meta = {'source': 'MMPose_Clean', 'kind': kind, 'rlepose_ext_version': __version__}
    files.write_checkpoint(output, converted, meta)
    print(f'{output}: {len(converted)} tensors ({kind})')
    return 0
