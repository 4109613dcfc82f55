"""Run a chain: ``rlepose train`` for each stage that is not finished."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlepose_ext.chain.plan import RESUME, SKIP, Step, last_checkpoint, make_plan
from rlepose_ext.chain.process import Processes
from rlepose_ext.chain.settings import load_config, missing_start, own_options
from rlepose_ext.chain.state import ChainState
from rlepose_ext.chain.table import Chain
from rlepose_ext.checkpoints.files import write_atomically
from rlepose_ext.errors import UserError


@dataclass(frozen=True)
class Options:
    """How to run a chain.

    Attributes:
        work_dir: the chain's folder; each stage has one of its own inside, named as its config.
        cfg_options: overrides for every stage, ``key=value``.
        amp: mixed precision.
        auto_scale_lr: scale learning rates by the batch size.
        launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.
        forwarded: more options of ``rlepose train``, as on its command line.
    """

    work_dir: Path
    cfg_options: tuple[str, ...] = ()
    amp: bool = False
    auto_scale_lr: bool = False
    launcher: str = 'none'
    forwarded: tuple[str, ...] = ()


def run_chain(
    chain: Chain,
    options: Options,
    say: Callable[[str], None] = print,
    train: Callable[[list[str]], int] | None = None,
) -> int:
    """Train what is left, stage by stage.

    Args:
        chain: the chain.
        options: how to run it.
        say: gets a line for each stage.
        train: runs ``rlepose`` with some arguments and returns its exit status; as a process
            of its own by default.

    Returns:
        0, or the exit status of the stage that ended early.

    Raises:
        UserError: as :func:`~rlepose_ext.chain.plan.make_plan`, or weights to start from are
            missing, or another process works in the folder.
    """
    folder = options.work_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with Processes(folder, only_sigterm=options.launcher == 'pytorch') as processes:
        run = train or (lambda arguments: processes.run(_python(arguments)))
        state = ChainState(folder)
        steps = make_plan(chain, state, options.cfg_options, _extra(options))
        check_start(steps[0], options)
        for number, step in enumerate(steps, 1):
            say(_headline(number, steps))
            if step.action == SKIP:
                continue
            name = step.stage.name
            previous = state.checkpoint(steps[number - 2].stage.name) if number > 1 else None
            config = write_config(step, folder, previous, options)
            state.begin(name, step.settings, step.start)
            status = run(command(step, config, folder, options))
            if status:
                say(f'{name} ended with status {status}; the same command again goes on there')
                return status
            state.finish(name, last_checkpoint(folder / name, step.settings, say))
        say(f'finished: {state.checkpoint(steps[-1].stage.name)}')
    return 0


def show_chain(chain: Chain, options: Options, say: Callable[[str], None] = print) -> None:
    """Check everything and print the commands that would run; nothing is written.

    Raises:
        UserError: as :func:`run_chain`.
    """
    folder = options.work_dir.resolve()
    steps = make_plan(chain, ChainState(folder), options.cfg_options, _extra(options))
    for number, step in enumerate(steps, 1):
        say(_headline(number, steps))
        if step.action != SKIP:
            config = step.stage.config
            if step.stage.takes is not None:
                config = _config_path(step, folder)
            say('  ' + shlex.join(['rlepose', *command(step, config, folder, options)]))
    check_start(steps[0], options)


def check_start(step: Step, options: Options) -> None:
    """Refuse to begin where the file that the first stage starts from is missing.

    Raises:
        UserError: it is missing, and the stage is not done.
    """
    missing = None if step.action == SKIP else missing_start(step.stage, options.cfg_options)
    if missing is not None:
        raise UserError(
            f'{step.stage.name} starts from {missing}, which does not exist. '
            'configs/heatmap_pretrain/README.md says where it comes from (RLEPOSE_WEIGHTS names '
            'its folder); to start from random weights add '
            '--cfg-options model.backbone.init_cfg=None.'
        )


def command(step: Step, config: Path, folder: Path, options: Options) -> list[str]:
    """The arguments of ``rlepose`` that train one stage."""
    arguments = ['train', str(config), '--work-dir', str(folder / step.stage.name)]
    arguments += ['--launcher', options.launcher, *options.forwarded]
    arguments += ['--amp'] * options.amp + ['--auto-scale-lr'] * options.auto_scale_lr
    arguments += ['--resume'] * (step.action == RESUME)
    own = own_options(step.stage, options.cfg_options)
    return arguments + (['--cfg-options', *own] if own else [])


def write_config(step: Step, folder: Path, previous: Path | None, options: Options) -> Path:
    """The config to train: the stage's own, or one on top that names where it starts.

    A file, because ``--cfg-options`` tears paths apart at blanks and commas.

    Raises:
        UserError: the config has no such part of the model.
    """
    if step.stage.takes is None:
        return step.stage.config
    part = step.stage.takes
    model = load_config(step.stage, options.cfg_options).get('model', {})
    if not isinstance(model.get(part), dict):
        raise UserError(f'{step.stage.config}: the model has no {part} that could take weights')
    # MMEngine would keep the key where there is nothing to delete.
    delete = '_delete_=True, ' if 'init_cfg' in model[part] else ''
    text = (
        f'# Written by `rlepose chain`: starts from the {step.start}.\n'
        f'_base_ = {str(step.stage.config)!r}\n\n'
        f'model = dict(\n    {part}=dict(\n        init_cfg=dict(\n'
        f"            {delete}type='Pretrained', prefix='{part}.',\n"
        f'            checkpoint={str(previous)!r},\n'
        '        )\n    )\n)\n'
    )
    path = _config_path(step, folder)
    write_atomically(text.encode(), path)
    return path


def _python(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, '-m', 'rlepose_ext.cli.main', *arguments]


def _config_path(step: Step, folder: Path) -> Path:
    return folder / 'configs' / step.stage.config.name


def _extra(options: Options) -> dict[str, bool]:
    return {'--amp': options.amp, '--auto-scale-lr': options.auto_scale_lr}


def _headline(number: int, steps: list[Step]) -> str:
    step = steps[number - 1]
    lines = [f'[{number}/{len(steps)}] {step.stage.name}: {step.action}', *step.notes]
    if step.action != SKIP and step.start is not None:
        lines.append(f'starts from the {step.start}')
    return '\n    '.join(lines)
