"""``rlepose train`` and ``rlepose test``: what ``mim train|test mmpose`` does, checked first.

Both run MMPose's own ``tools/train.py`` and ``tools/test.py`` with the arguments
as given. They refuse what mim would misread: a config path that does not exist is
looked up by its base name inside mmpose and that one is trained.

With ``--launcher pytorch`` or ``slurm`` the first process checks everything and becomes
torchrun or srun, which start the same command once for each rank. A process that is such
a rank already runs the script: ``srun --kill-on-bad-exit=1 rlepose train CONFIG --launcher slurm``
works too.
"""

from __future__ import annotations

import argparse
import gc
import os
import runpy
import shlex
import socket
import sys
import traceback
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

from rlepose_ext.cli import data_first, slurm, two_boxes
from rlepose_ext.cli.arguments import seed
from rlepose_ext.cli.start import without_collecting
from rlepose_ext.errors import UserError
from rlepose_ext.gpus import check_gpu, check_visible_gpus


class _Forward(argparse.Action):
    """Keep an option of MMPose's script as it was written, blanks included."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, values)
        if values is None:
            values = []
        elif isinstance(values, str):
            values = [values]
        namespace.forwarded = [*namespace.forwarded, option_string, *values]


class _Seed(_Forward):
    """Hand a seed on as an override of the config; MMPose's script has no option for it."""

    def __call__(self, parser, namespace, values, option_string=None):
        super().__call__(parser, namespace, f'randomness.seed={values}', '--cfg-options')


class _Compile(_Forward):
    """As :class:`_Seed`: a key of the config."""

    def __call__(self, parser, namespace, values, option_string=None):
        super().__call__(parser, namespace, 'compile_backbone=True', '--cfg-options')


# MMPose's own options: name, number of values, what it does.
_COMMON_OPTIONS = (
    ('--work-dir', None, 'where logs and checkpoints go'),
    ('--cfg-options', '+', 'override config keys: key=value ...'),
    ('--show-dir', None, "draw predictions into this folder, seen from the run's own"),
    ('--show', 0, 'show predictions in a window'),
    ('--interval', None, 'draw every n-th sample'),
    ('--wait-time', None, 'seconds a window stays'),
)
_OPTIONS = {
    'train': (
        ('--resume', '?', 'go on from a checkpoint, or from the latest one'),
        ('--amp', 0, 'mixed precision; bfloat16 on the CPU'),
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
        parser.add_argument('--cfg_file', metavar='CONFIG', help="MMPose_Clean's way to name it")
        parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm'), default='none')
        gpus = 'processes: one per GPU, or CPU ranks; pytorch: on this machine, slurm: in all'
        parser.add_argument('--gpus', '-G', type=int, metavar='N', help=gpus)
        parser.add_argument('--port', '-p', type=int, help='port of the first process')
        for option, nargs, text in _OPTIONS[name] + _COMMON_OPTIONS:
            parser.add_argument(option, nargs=nargs, action=_Forward, help=text)
        nodes = parser.add_argument_group('--launcher pytorch', 'on several machines: run on each')
        nodes.add_argument('--nnodes', type=int, metavar='N', help='machines, default 1')
        nodes.add_argument('--node-rank', type=int, metavar='I', help='number of this one, from 0')
        nodes.add_argument('--master-addr', metavar='HOST', help='address of machine 0')
        slurm.add_options(parser)
        dry_run = 'check everything but the data, print the command that would run, and stop'
        parser.add_argument('--dry-run', action='store_true', help=dry_run)
        parser.set_defaults(run=run, script=name, forwarded=[])
    train.add_argument('--seed', type=seed, action=_Seed, help='the same as randomness.seed=N')
    train.add_argument(
        '--compile', nargs=0, action=_Compile, help='the same as compile_backbone=True'
    )
    test.add_argument('second', nargs='?', metavar='CHECKPOINT', help='the same as -C CHECKPOINT')
    test.add_argument('--checkpoint', '-C', help='checkpoint file or URL')
    two_boxes.add_option(test)


_NODE_OPTIONS = ('nnodes', 'node_rank', 'master_addr')
_ONLY_WITH = {'pytorch': _NODE_OPTIONS, 'slurm': slurm.OPTIONS}


def run(args: argparse.Namespace) -> int:
    """Check the arguments, then hand over to MMPose's script, torchrun or srun.

    Raises:
        UserError: config or checkpoint missing, a number of processes or a port that makes no
            sense, more processes than GPUs, GPUs that torch does not see, or options of another
            launcher.
    """
    if args.config and args.cfg_file:
        raise UserError(f'two configs are named, {args.config} and {args.cfg_file}; give one')
    config = check_config(args.config or args.cfg_file)
    check_options(args)
    check_processes(args.gpus, args.launcher)
    check_port(args.port)
    check_outputs(args)
    rank = is_rank(args.launcher, args.gpus)
    content, notes = data_first.read(config, args.cfg_options or ())
    if not rank or args.launcher == 'none':
        for option, note in notes.items():
            print(f'rlepose: warning: --cfg-options {option}: {note}', file=sys.stderr)
    if args.launcher == 'none':
        check_gpu(asked=args.gpus is not None)
    if args.script == 'test' and args.badcase is not None:
        check_badcase(content)
    script = mmpose_script(args.script)
    checkpoint = check_checkpoint(named_checkpoint(args)) if args.script == 'test' else None
    if args.script == 'train' and args.resume not in (None, 'auto'):
        check_checkpoint(args.resume)
    if args.script == 'test' and args.boxes:
        if args.launcher != 'none' and rank:
            raise UserError('--boxes starts its tests itself: leave out srun or torchrun before it')
        return two_boxes.run(args, config, content, checkpoint)
    last = ['--launcher', args.launcher, *args.forwarded]
    ranks = ['-m', 'rlepose_ext.cli.main', args.script, config]
    ranks += [*(['-C', checkpoint] if checkpoint else []), *last]
    if rank:
        command = [script, config, *([checkpoint] if checkpoint else []), *last]
        start = run_script
    else:
        if args.launcher == 'slurm':
            command = slurm.srun_command(args, config, [sys.executable, '-u', *ranks])
        else:
            command = torchrun_command(args, ranks)
        start = become
    if args.dry_run:
        # MMPose's script would run in this process, so the line is this command.
        print(shlex.join([sys.executable, *ranks] if rank else command))
        return 0
    # The machine that a job is sent from may not see the data.
    if rank or args.launcher != 'slurm':
        parts = ['test'] if args.script == 'test' else ['train', 'val']
        validates = getattr(args, 'no_validate', None) is None
        data_first.check_data_files(content, parts[: 2 if validates else 1])
    if args.launcher == 'slurm':
        slurm.set_port(args.port)
    try:
        return start(command)
    except UserError:
        raise
    except Exception as error:
        if not notes:
            raise
        for option, note in notes.items():
            key, _, value = option.partition('=')
            # no such argument, or no such value
            if {f"'{key.rpartition('.')[2]}'", f"'{value}'"} & set(str(error).split()):
                raise UserError(f'--cfg-options {option}: {note} ({error})') from error
        traceback.print_exc()
        for option, note in notes.items():
            print(f'rlepose: perhaps because of --cfg-options {option}: {note}', file=sys.stderr)
        return 1


def become(command: list[str]) -> int:
    """Replace this process by ``command``, so that signals reach it; does not return."""
    if Path(command[0]).name == 'srun':
        print(shlex.join(command))
    sys.stdout.flush()
    os.execvp(command[0], command)


def is_rank(launcher: str, processes: int | None) -> bool:
    """Whether this process is to run the script, because torchrun or srun started it or must not.

    Raises:
        UserError: this is one of several processes, and they would all do the same work, or
            their number is not the one asked for.
    """
    started = {
        'slurm': int(os.environ.get('SLURM_NTASKS') or 1) if slurm.in_step(os.environ) else 0,
        'pytorch': int(os.environ.get('WORLD_SIZE') or 1)
        if {'TORCHELASTIC_RUN_ID', 'LOCAL_RANK'} <= set(os.environ)
        else 0,
    }
    if launcher == 'none':
        for name, ranks in started.items():
            if ranks > 1:
                raise UserError(
                    f'this is one of {ranks} processes, and without --launcher {name} each would '
                    'run the whole job into the same folder. Add it, or start one process.'
                )
        return True
    ranks = started[launcher]
    if launcher == 'slurm' and ranks and processes not in (None, ranks):
        raise UserError(f'--gpus {processes} inside an srun of {ranks} tasks: change one of them')
    return ranks > 0


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that the launcher would ignore.

    Raises:
        UserError: there is one.
    """
    for launcher, names in _ONLY_WITH.items():
        for name in names:
            if launcher != args.launcher and getattr(args, name) is not None:
                option = '--' + name.replace('_', '-')
                raise UserError(f'{option} has no effect without --launcher {launcher}')


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


def check_port(port: int | None) -> None:
    """Refuse what is no TCP port; 0, any free one, differs from process to process.

    Raises:
        UserError: it is none.
    """
    if port is not None and not 1 <= port <= 65535:
        raise UserError(
            f'--port {port} is no port: expected a number from 1 to 65535. Leave it out to have '
            'one chosen.'
        )


def check_outputs(args: argparse.Namespace) -> None:
    """Refuse files and folders that could not be written at the end.

    Raises:
        UserError: a file's name does not say a format that is known, it is a folder, or the work
            directory is a file or cannot be made.
    """
    for option, endings in (('out', ('.json', '.yaml', '.pkl')), ('dump', ('.pkl', '.pickle'))):
        name = getattr(args, option, None)
        if name is not None and (Path(name).is_dir() or Path(name).suffix not in endings):
            raise UserError(
                f'--{option} {name}: expected the name of a file that ends in '
                f'{" or ".join(endings)}'
            )
    if args.work_dir is not None:
        wanted = Path(args.work_dir).absolute()
        there = next(each for each in (wanted, *wanted.parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            what = 'cannot be written to' if there.is_dir() else 'is a file'
            raise UserError(f'--work-dir {args.work_dir}: {there} {what}')


def check_badcase(config: Mapping[str, Any]) -> None:
    """Refuse ``--badcase`` where MMPose's hook cannot say how bad a sample is.

    By default it takes the head's loss, of predicted and labelled keypoints and their visibility.

    Raises:
        UserError: the head names no loss, or one of more than these.
    """
    import torch
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    if config.get('default_hooks', {}).get('badcase', {}).get('metric'):
        return
    head = config.get('model', {}).get('head') or {}
    loss = head.get('loss')
    try:
        with DefaultScope.overwrite_default_scope('mmpose'):
            MODELS.build(loss)(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), torch.ones(1, 3))
    except Exception as error:  # losses raise what they like
        raise UserError(
            f'--badcase sorts samples by the loss of the head, and {head.get("type")} has '
            f'{loss and loss.get("type")}, which does not compare keypoints alone. For the mean '
            "error in px add default_hooks = dict(badcase=dict(metric=dict(type='L1Loss'))) to the "
            'config.'
        ) from error


def named_checkpoint(args: argparse.Namespace) -> str:
    """The one of ``-C``, or, as MMPose's script takes it, the second argument.

    Raises:
        UserError: there is none, or two.
    """
    named = [name for name in (args.checkpoint, args.second) if name is not None]
    if len(named) != 1:
        raise UserError(
            'a checkpoint is needed: -C FILE'
            if not named
            else f'two checkpoints are named, {" and ".join(named)}; give one'
        )
    return named[0]


def check_checkpoint(checkpoint: str) -> str:
    """The checkpoint, if it is a URL or a file.

    Raises:
        UserError: it is missing, or a folder.
    """
    if checkpoint and Path(checkpoint).is_dir():
        last = Path(checkpoint, 'last_checkpoint')
        newest = last.read_text().strip() if last.is_file() else None
        raise UserError(
            f'checkpoint {checkpoint!r} is a folder: name a file in it'
            + (f', such as {newest}' if newest else '')
        )
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
    with without_collecting():
        # What the script loads, and what is not looked through again while it runs.
        import mmpose.datasets
        import mmpose.evaluation
        import mmpose.models
        import mmpose.visualization  # noqa: F401

        gc.freeze()
    argv = sys.argv
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name='__main__')
    finally:
        sys.argv = argv
    return 0


def torchrun_command(args: argparse.Namespace, ranks: list[str]) -> list[str]:
    """The whole torchrun line, for ``args.gpus`` ranks on this machine.

    Raises:
        UserError: there are GPUs, but fewer than ``args.gpus``, or what torchrun needs to find
            the other machines is missing.
    """
    processes = args.gpus or 1
    check_visible_gpus(processes)
    torchrun = [sys.executable, '-m', 'torch.distributed.run', f'--nproc_per_node={processes}']
    return torchrun + rendezvous(args) + ranks


def rendezvous(args: argparse.Namespace) -> list[str]:
    """How torchrun's processes find each other, as its options.

    Raises:
        UserError: several machines without the number of this one or the address of the first,
            or a number that is not one of them.
    """
    nodes = 1 if args.nnodes is None else args.nnodes
    if nodes > 1 and (args.node_rank is None or not args.master_addr):
        raise UserError(
            f'--nnodes {nodes} needs on every machine --node-rank, its number from 0, and '
            '--master-addr, the address of machine 0'
        )
    rank = args.node_rank or 0
    if nodes < 1 or not 0 <= rank < nodes:
        raise UserError(
            f'--node-rank {rank} of --nnodes {nodes}: machines are numbered from 0 to nnodes - 1'
        )
    if args.port and rank == 0 and not is_free(args.port):
        raise UserError(f'--port {args.port} is in use. Leave it out to have one chosen.')
    if nodes == 1:
        return [f'--master_port={args.port or free_port()}']
    return [
        f'--nnodes={nodes}',
        f'--node_rank={rank}',
        f'--master_addr={args.master_addr}',
        # all machines must agree on it without talking: torch's own default
        f'--master_port={args.port or 29500}',
    ]


def free_port() -> int:
    """A TCP port that is free now, for torchrun's rendezvous."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    """Whether nobody listens at a TCP port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('', port))
        except OSError:
            return False
    return True
