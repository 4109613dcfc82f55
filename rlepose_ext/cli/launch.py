"""``rlepose train`` and ``rlepose test``: what ``mim train|test mmpose`` does, checked first.

Both run MMPose's own ``tools/train.py`` and ``tools/test.py`` with the arguments
as given. They refuse what mim would misread: a config path that does not exist is
looked up by its base name inside mmpose and that one is trained.
"""

from __future__ import annotations

import argparse
import os
import runpy
import socket
import sys
from importlib import util
from pathlib import Path

from rlepose_ext.errors import UserError


class _Forward(argparse.Action):
    """Keep an option of MMPose's script as it was written, blanks included."""

    def __call__(self, parser, namespace, values, option_string=None):
        if values is None:
            values = []
        elif isinstance(values, str):
            values = [values]
        namespace.forwarded = [*namespace.forwarded, option_string, *values]


# MMPose's own options: name, number of values, what it does.
_COMMON_OPTIONS = (
    ('--work-dir', None, 'where logs and checkpoints go'),
    ('--cfg-options', '+', 'override config keys: key=value ...'),
    ('--show-dir', None, 'draw predictions into this folder'),
    ('--show', 0, 'show predictions in a window'),
    ('--interval', None, 'draw every n-th sample'),
    ('--wait-time', None, 'seconds a window stays'),
)
_OPTIONS = {
    'train': (
        ('--resume', '?', 'go on from a checkpoint, or from the latest one'),
        ('--amp', 0, 'mixed precision'),
        ('--no-validate', 0, 'do not evaluate while training'),
        ('--auto-scale-lr', 0, 'scale the learning rate by the batch size'),
    ),
    'test': (
        ('--out', None, 'write the metrics to this json file'),
        ('--dump', None, 'write all predictions to this pickle file'),
        ('--badcase', 0, 'analyse the worst samples'),
    ),
}


def add_parser(subparsers) -> None:
    """Register both commands."""
    train = subparsers.add_parser('train', help='train a config (as `mim train mmpose`)')
    test = subparsers.add_parser('test', help='test a checkpoint (as `mim test mmpose -C`)')
    for name, parser in (('train', train), ('test', test)):
        parser.add_argument('config', nargs='?', help='config file')
        # MMPose_Clean's train.py and val.py spell it --cfg_file.
        parser.add_argument('--cfg_file', help=argparse.SUPPRESS)
        parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm'), default='none')
        gpus = 'processes with --launcher pytorch: one per GPU, or CPU ranks'
        parser.add_argument('--gpus', '-G', type=int, metavar='N', help=gpus)
        parser.add_argument('--port', '-p', type=int, help='port of the first process')
        for option, nargs, text in _OPTIONS[name] + _COMMON_OPTIONS:
            parser.add_argument(option, nargs=nargs, action=_Forward, dest='_', help=text)
        parser.set_defaults(run=run, script=name, forwarded=[])
    test.add_argument('--checkpoint', '-C', required=True, help='checkpoint file or URL')


def run(args: argparse.Namespace) -> int:
    """Check the arguments, then hand over to MMPose's script.

    Raises:
        UserError: config or checkpoint missing, a number of processes that makes no
            sense, or more of them than GPUs.
    """
    if args.config and args.cfg_file:
        raise UserError(f'two configs are named, {args.config} and {args.cfg_file}; give one')
    config = check_config(args.config or args.cfg_file)
    check_processes(args.gpus, args.launcher)
    command = [mmpose_script(args.script), config]
    if args.script == 'test':
        command.append(check_checkpoint(args.checkpoint))
    command += ['--launcher', args.launcher, *args.forwarded]
    if args.launcher == 'pytorch':
        return run_distributed(command, args.gpus or 1, args.port)
    return run_script(command)


def check_config(config: str | None) -> str:
    """The config path, if it is a file.

    Raises:
        UserError: it is missing.
    """
    if config is None:
        raise UserError(
            'a config file is needed, as the first argument: --cfg-options and --resume take '
            'whatever follows them.'
        )
    if not Path(config).is_file():
        raise UserError(
            f'config {config!r} does not exist (looked in {os.getcwd()}). Give the path of a '
            'file; configs of this project lie under configs/.'
        )
    return config


def check_processes(processes: int | None, launcher: str) -> None:
    """Refuse numbers that would silently do something else.

    Raises:
        UserError: fewer than one, or several without a launcher that starts them.
    """
    if processes is None:
        return
    if processes < 1:
        raise UserError(
            f'--gpus {processes} makes no sense; to train on the CPU set CUDA_VISIBLE_DEVICES='
        )
    if processes > 1 and launcher == 'none':
        raise UserError(
            f'--gpus {processes} without a launcher would run one process. Add --launcher pytorch.'
        )


def check_checkpoint(checkpoint: str) -> str:
    """The checkpoint, if it is a URL or a file.

    Raises:
        UserError: it is missing.
    """
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise UserError(
            f'checkpoint {checkpoint!r} does not exist (looked in {os.getcwd()}). Training '
            'writes epoch_N.pth and best_*.pth into its work directory.'
        )
    return checkpoint


def mmpose_script(name: str) -> str:
    """Path of ``tools/<name>.py`` in the installed mmpose.

    Raises:
        UserError: mmpose is missing, or installed without its tools.
    """
    spec = util.find_spec('mmpose')
    if spec is None:
        raise UserError('mmpose is not installed: pip install --no-deps mmpose==1.3.2')
    script = Path(spec.origin).parent / '.mim' / 'tools' / f'{name}.py'
    if not script.is_file():
        raise UserError(
            f'{script} is missing: mmpose was installed from source in editable mode, which '
            'leaves its tools out. Install the wheel: pip install --no-deps mmpose==1.3.2'
        )
    return str(script)


def run_script(command: list[str]) -> int:
    """Run MMPose's script in this process, so that its UserErrors reach ``rlepose``."""
    argv = sys.argv
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name='__main__')
    finally:
        sys.argv = argv
    return 0


def run_distributed(command: list[str], processes: int, port: int | None) -> int:
    """Replace this process by torchrun with ``processes`` ranks on this machine.

    Raises:
        UserError: there are GPUs, but fewer than ``processes``.
    """
    import torch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise UserError(
            f'--gpus {processes} asks for more processes than this machine has GPUs ({gpus}). '
            f'Use --gpus {gpus}, or CUDA_VISIBLE_DEVICES= to train on the CPU.'
        )
    port = port or free_port()
    torchrun = [sys.executable, '-m', 'torch.distributed.run']
    torchrun += [f'--nproc_per_node={processes}', f'--master_port={port}']
    sys.stdout.flush()
    os.execv(sys.executable, torchrun + command)


def free_port() -> int:
    """A TCP port that is free now, for torchrun's rendezvous."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
