"""The ``rlepose`` command: argument parsing only, one module per sub-command."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlepose_ext.cli import (
    calibrate,
    chain,
    convert,
    curves,
    data,
    demo,
    detect,
    doctor,
    eval,
    export,
    init,
    launch,
    lip,
    merge,
    params,
    posefix,
    quickstart,
    weights,
    zoo,
)
from rlepose_ext.errors import UserError
from rlepose_ext.version import __version__

# As they are listed: what newcomers need first.
COMMANDS = (
    demo,
    quickstart,
    init,
    data,
    launch,
    detect,
    curves,
    eval,
    export,
    calibrate,
    zoo,
    weights,
    params,
    convert,
    chain,
    posefix,
    lip,
    merge,
    doctor,
)


class _Parser(argparse.ArgumentParser):
    """Says where to set what other tools have as options of a training."""

    def error(self, message):
        if message.startswith('unrecognized arguments') and self.prog == 'rlepose':
            message += (
                '. Settings of a config are changed by --cfg-options of train and test, such as '
                'train_cfg.max_epochs=3 train_dataloader.batch_size=8'
            )
        super().error(message)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, for :func:`main`, the tests and the docs."""
    parser = _Parser(
        prog='rlepose',
        description='Train, test and use keypoint models on MMPose 1.x.',
        epilog='`rlepose COMMAND --help` lists the options of a command.',
    )
    parser.add_argument('--version', action='version', version=f'rlepose_ext {__version__}')
    subparsers = parser.add_subparsers(metavar='COMMAND', required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Our warnings as one line, without the line of code that gave them."""
    before, package = warnings.formatwarning, Path(__file__).parents[1]

    def plain(message, category, filename, *more):
        if Path(filename).is_relative_to(package):
            return f'rlepose: warning: {message}\n'
        return before(message, category, filename, *more)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = before


def main(argv: list[str] | None = None) -> int:
    """Run one command. A mistake of the user's ends in one message and status 2."""
    args = build_parser().parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else argv
    try:
        with _plain_warnings():
            status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f'rlepose: error: {error}', file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = str(error.name).partition('.')[0]
        if package == 'rlepose_ext' or package in sys.modules:
            raise
        print(
            f'rlepose: error: this needs the package {package}, which is not installed here: '
            '`make setup`, or docs/install.md. Without torch there is rlepose_ext.runtime.',
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print('rlepose: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `rlepose zoo | head`: the reader has gone. Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == '__main__':
    sys.exit(main())
