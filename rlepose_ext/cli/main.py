"""The ``rlepose`` command: argument parsing only, one module per sub-command."""

import argparse
import sys

from rlepose_ext.cli import convert, curves, doctor, launch, quickstart
from rlepose_ext.errors import UserError
from rlepose_ext.version import __version__

COMMANDS = (quickstart, launch, curves, convert, doctor)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, for :func:`main`, the tests and the docs."""
    parser = argparse.ArgumentParser(
        prog='rlepose', description='Train, test and use keypoint models on MMPose 1.x.'
    )
    parser.add_argument('--version', action='version', version=f'rlepose_ext {__version__}')
    subparsers = parser.add_subparsers(metavar='COMMAND', required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command. A mistake of the user's ends in one message and status 2."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except UserError as error:
        print(f'rlepose: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('rlepose: interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
