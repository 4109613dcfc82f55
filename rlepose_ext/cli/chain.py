"""``rlepose chain NAME``: trainings in a row, each from weights of the one before."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from rlepose_ext.cli import launch, slurm
from rlepose_ext.errors import UserError


def add_parser(subparsers) -> None:
    """Register ``rlepose chain NAME``."""
    parser = subparsers.add_parser(
        'chain',
        help='train stages in a row, each from weights of the one before',
        description='Train the stages of a chain by `rlepose train`. The same command again goes '
        'on where it was stopped; finished stages are skipped.',
    )
    parser.add_argument('name', nargs='?', help='the chain; --list names them')
    parser.add_argument('--list', action='store_true', help='list chains and their stages, stop')
    parser.add_argument('--file', help="YAML file of chains; default: the project's own")
    parser.add_argument('--work-dir', help='folder of the chain; default: work_dirs/chain_NAME')
    dry_run = 'check everything, print the commands that would run, and stop'
    parser.add_argument('--dry-run', action='store_true', help=dry_run)
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm'), default='none')
    gpus = 'processes of each stage: one per GPU, or CPU ranks'
    parser.add_argument('--gpus', '-G', type=int, metavar='N', help=gpus)
    parser.add_argument('--port', '-p', type=int, help='port of the first process')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    scale = 'scale learning rates by the batch size'
    parser.add_argument('--auto-scale-lr', action='store_true', help=scale)
    overrides = 'override config keys of every stage: key=value ...'
    parser.add_argument('--cfg-options', nargs='+', default=[], help=overrides)
    slurm.add_options(parser)
    # torchrun on several machines would have to begin each stage on all of them at once.
    parser.set_defaults(run=run, nnodes=None, node_rank=None, master_addr=None)


def run(args: argparse.Namespace) -> int:
    """List chains, show what one would do, or run it.

    Raises:
        UserError: no such chain, an argument out of range, or what
            :func:`rlepose_ext.chain.run.run_chain` refuses.
    """
    from rlepose_ext.chain.run import Options, run_chain, show_chain
    from rlepose_ext.chain.table import find_chain, read_chains

    if args.list:
        for chain in read_chains(args.file).values():
            print(chain)
        return 0
    if args.name is None:
        raise UserError('the name of a chain is needed; `rlepose chain --list` has them')
    chain = find_chain(args.name, args.file)
    launch.check_options(args)
    launch.check_processes(args.gpus, args.launcher)
    if launch.is_rank(args.launcher, args.gpus) and args.launcher != 'none':
        raise UserError(
            'this is one process of several: start `rlepose chain` once, outside of srun and '
            f'torchrun. With --launcher {args.launcher} it starts the processes of each stage.'
        )
    options = Options(
        work_dir=Path(args.work_dir or f'work_dirs/chain_{chain.name}'),
        cfg_options=tuple(args.cfg_options),
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        launcher=args.launcher,
        forwarded=tuple(forwarded(args)),
    )
    if args.dry_run:
        show_chain(chain, options)
        return 0
    return run_chain(chain, options, say=partial(print, flush=True))


def forwarded(args: argparse.Namespace) -> list[str]:
    """The launcher's options as ``rlepose train`` takes them."""
    return [
        f'--{name.replace("_", "-")}={value}'
        for name in ('gpus', 'port', *slurm.OPTIONS)
        if (value := getattr(args, name)) is not None
    ]
