"""``rlepose convert gray``: an RGB model for images of one grey channel."""

from __future__ import annotations

import argparse

from rlepose_ext.errors import UserError
from rlepose_ext.version import __version__


def add_kind(kinds) -> None:
    """Register ``rlepose convert gray IN OUT``."""
    gray = kinds.add_parser(
        'gray',
        help='an RGB model or backbone for images of one grey channel',
        description='Write a checkpoint whose first convolution has one input channel and which '
        'computes from a grey image what the RGB model computes from it.',
    )
    gray.add_argument('input', metavar='IN', help='.pth file of the RGB model, any prefix')
    gray.add_argument('output', metavar='OUT', help='file to write')
    rgb = {'nargs': 3, 'type': float, 'metavar': ('R', 'G', 'B')}
    gray.add_argument('--mean', **rgb, help="of the RGB model's config; default: ImageNet's")
    gray.add_argument('--std', **rgb, help='likewise')
    gray.add_argument(
        '--gray-mean', type=float, metavar='M', help="of the grey model's config; default: luma"
    )
    gray.add_argument('--gray-std', type=float, metavar='S', help='likewise')
    gray.add_argument('--force', action='store_true', help='overwrite OUT')
    gray.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert one RGB checkpoint to one grey channel.

    Raises:
        UserError: IN is missing or has no convolution for three channels, or OUT exists.
    """
    from rlepose_ext.convert import files, gray

    output = files.check_target(args.output, args.force)
    state = files.read_state_dict(args.input)
    mean = tuple(args.mean or gray.IMAGENET_MEAN)
    std = tuple(args.std or gray.IMAGENET_STD)
    gray_mean = gray.luma_of(mean) if args.gray_mean is None else args.gray_mean
    gray_std = gray.luma_of(std) if args.gray_std is None else args.gray_std
    try:
        converted = gray.convert(state, mean, std, gray_mean, gray_std)
        layer = gray.find_first_conv(state).removesuffix('.weight')
    except UserError as error:
        raise UserError(f'{args.input}: {error}') from error
    meta = {'source': 'RGB', 'kind': 'gray', 'rlepose_ext_version': __version__}
    meta |= {'gray_mean': gray_mean, 'gray_std': gray_std}
    files.write_checkpoint(output, converted, meta)
    print(
        f'{output}: {len(converted)} tensors, {layer} for one channel. Its config needs '
        f'mean=[{gray_mean}], std=[{gray_std}], bgr_to_rgb=False, in_channels=1.'
    )
    return 0
