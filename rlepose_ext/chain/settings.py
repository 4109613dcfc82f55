"""What a stage is trained with: its config with overrides, as plain data to compare later.

What a stage learns from counts, and how. Where data and weights lie, how many workers load them,
what is validated, logged and saved does not: a chain may be moved and go on.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlepose_ext.chain.table import Stage
from rlepose_ext.errors import UserError

_FOLDERS = ('RLEPOSE_DATA', 'RLEPOSE_WEIGHTS')
_LEARNING = (
    'model', 'data_preprocessor', 'train_dataloader', 'train_cfg', 'optim_wrapper',
    'param_scheduler', 'custom_hooks', 'randomness', 'load_from',
)  # fmt: skip
_NOT_LEARNING = frozenset(
    {'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'val_interval'}
)


def own_options(stage: Stage, cfg_options: Sequence[str]) -> list[str]:
    """Those of ``--cfg-options`` that are for this stage.

    Where a later stage starts is the chain's business: what the user says of it, such as
    ``model.backbone.init_cfg=None``, is meant for the first.
    """
    if stage.takes is None:
        return list(cfg_options)
    key = f'model.{stage.takes}.init_cfg'
    return [
        option
        for option in cfg_options
        if (name := option.partition('=')[0]) != key and not name.startswith(f'{key}.')
    ]


def load_config(stage: Stage, cfg_options: Sequence[str] = ()) -> Any:
    """The stage's MMEngine config with overrides.

    Raises:
        UserError: the config cannot be read, or an override is not ``key=value``.
    """
    from mmengine.config import Config, DictAction

    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    options = own_options(stage, cfg_options)
    try:
        config = Config.fromfile(stage.config, import_custom_modules=False)
        if options:
            config.merge_from_dict(parser.parse_args(['--cfg-options', *options]).cfg_options)
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError, OSError) as error:
        given = f' with --cfg-options {" ".join(options)}' if options else ''
        raise UserError(f'{stage.config}{given} cannot be read: {error}') from error
    return config


def settings_of(stage: Stage, cfg_options: Sequence[str] = ()) -> dict[str, Any]:
    """What decides what the stage learns, as JSON would give it back.

    Raises:
        UserError: as :func:`load_config`.
    """
    with _without(_FOLDERS):
        config = load_config(stage, cfg_options).to_dict()
    kept = {key: config[key] for key in _LEARNING if key in config}
    if stage.takes is not None:
        kept.get('model', {}).get(stage.takes, {}).pop('init_cfg', None)
    return json.loads(json.dumps(_pruned(kept), default=str))


def differences(old: Any, new: Any) -> list[str]:
    """Where two settings differ: ``'train_cfg.max_epochs: 210, now 2'``, in order."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    lines = []
    for key in sorted({*before, *after}):
        was, now = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if was != now:
            lines.append(f'{key}: {_shown(was)}, now {_shown(now)}')
    return lines


def missing_start(stage: Stage, cfg_options: Sequence[str] = ()) -> str | None:
    """The local file that the first stage's backbone starts from, if it is not there.

    Raises:
        UserError: as :func:`load_config`.
    """
    backbone = load_config(stage, cfg_options).get('model', {}).get('backbone') or {}
    init_cfg = backbone.get('init_cfg')
    checkpoint = init_cfg.get('checkpoint') if isinstance(init_cfg, Mapping) else None
    if not checkpoint or '://' in checkpoint or Path(checkpoint).is_file():
        return None
    return checkpoint


_ABSENT = object()


def _shown(value: Any) -> str:
    return 'absent' if value is _ABSENT else json.dumps(value)


def _leaves(node: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; empty containers are values, so that none vanishes."""
    if isinstance(node, (Mapping, list)) and node:
        items = node.items() if isinstance(node, Mapping) else enumerate(node)
        for name, value in items:
            yield from _leaves(value, f'{key}.{name}' if key else str(name))
    else:
        yield key, node


def _pruned(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _pruned(value) for key, value in node.items() if key not in _NOT_LEARNING}
    if isinstance(node, (list, tuple)):
        return [_pruned(value) for value in node]
    return node


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """The environment without some variables, for configs that read them."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
