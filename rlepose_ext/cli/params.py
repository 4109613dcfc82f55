"""``rlepose params``: how large a model is, part by part."""

from __future__ import annotations

import argparse
import json


def add_parser(subparsers) -> None:
    """Register ``rlepose params CONFIG``."""
    parser = subparsers.add_parser(
        'params',
        help='count the parameters of a model, without what only training uses',
        description='Count parameters at inference: flows that only the loss uses are left out.',
    )
    parser.add_argument(
        'config', metavar='CONFIG', help='a config file, a name of the zoo, or mmpose::PATH'
    )
    parser.add_argument(
        '--flops', action='store_true', help='run one picture and count operations too'
    )
    parser.add_argument('--json', action='store_true', help='for programs')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the model without weights, count, print.

    Raises:
        UserError: no such config, or one whose model cannot be built.
    """
    from rlepose_ext.zoo import counting

    config = counting.load_config(args.config)
    model = counting.build_model(config, 'cpu' if args.flops else 'meta')
    counts = counting.count(model)
    flops = None
    if args.flops:
        shape = counting.input_shape(config)
        flops = counting.count_flops(counting.forward_of(model, shape))
    if args.json:
        content = {'params': counts.total, 'parts': counts.parts}
        content |= {'training_only': counts.training_only, 'flops': flops}
        print(json.dumps(content))
        return 0
    for name, number in {**counts.parts, 'in all': counts.total}.items():
        print(f'{name:<14}{number:>14,}')
    if counts.training_only:
        print(f'{"training only":<14}{counts.training_only:>14,}  (not counted)')
    if flops is not None:
        size = ' x '.join(str(number) for number in shape)
        print(
            f'{flops / 1e9:.4g} GFLOPs, {flops / 2e9:.4g} G multiply-adds '
            f'(one picture, {size}: channels, height, width)'
        )
    return 0
