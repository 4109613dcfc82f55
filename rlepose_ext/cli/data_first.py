"""Looks at a run's config and data before anything is built or printed."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlepose_ext.annotations.metainfo import read_config
from rlepose_ext.data_paths import VARIABLE, move_data
from rlepose_ext.errors import UserError

# What a data set reads when it is built, and what the user would change.
_FILES = {'ann_file': 'annotation file', 'bbox_file': 'detection file'}
# Keys of a config that are read by others than the Runner.
_READ_ELSEWHERE = ('auto_scale_lr', 'compile_backbone', 'custom_imports', 'codec', 'dataset_meta')


def read(path: str, cfg_options: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """The config as the run will have it, and what is odd about the overrides.

    Args:
        path: of the config.
        cfg_options: overrides, ``key=value``.

    Returns:
        The config, and what seems wrong with overrides that nothing may read, by override.

    Raises:
        UserError: it cannot be executed or has no model, or an override is none.
    """
    from mmengine.config import DictAction

    config = read_config(path, imports=False)
    if not isinstance(config.get('model'), Mapping):
        raise UserError(
            f"{path}: expected a config with model = dict(type=...), there is no 'model'"
        )
    notes, options = {}, {}
    for option in cfg_options:
        key, equals, value = option.partition('=')
        if not equals or not key:
            raise UserError(
                f'--cfg-options {option}: expected key=value, without blanks around the =, such '
                'as train_cfg.max_epochs=20'
            )
        options[key] = DictAction._parse_iterable(value)
        if note := _odd(config._cfg_dict, key.split('.'), options[key]):
            notes[option] = note
    try:
        config.merge_from_dict(options)
    except Exception as error:  # an index of a list, a part of a number
        raise UserError(f'--cfg-options {" ".join(cfg_options)}: {error}') from error
    root = os.environ.get(VARIABLE)
    return (move_data(config, root) if root else config), notes


def _odd(config: Any, keys: list[str], value: Any) -> str | None:
    """What may be wrong with an override, in words."""
    node = config
    for depth, key in enumerate(keys):
        if isinstance(node, (list, tuple)):
            node = node[int(key)] if key.isdecimal() and int(key) < len(node) else {}
            continue
        if not isinstance(node, Mapping):
            return None
        if key not in node:
            if depth == 0 and key not in _READ_ELSEWHERE:
                from mmengine.runner import Runner  # takes a second

                known = [*inspect.signature(Runner.__init__).parameters, *node]
                if key not in known:
                    near = difflib.get_close_matches(key, known, 1, 0.6)
                    near = ['optim_wrapper.optimizer'] if key == 'optimizer' else near
                    return f'no run reads {key!r}' + _mean(near)
                return None
            near = difflib.get_close_matches(key, list(node), 1, 0.8)
            return f'there is no {key!r} in the config' + _mean(near) if near else None
        node = node[key]
    number = isinstance(node, (int, float)) and not isinstance(node, bool)
    if number and (value is None or isinstance(value, str)):
        return f'the config has a number there, {node}'
    return None


def _mean(near: list[str]) -> str:
    return f'; did you mean {near[0]}?' if near else ''


def check_data_files(config: Mapping[str, Any], parts: Sequence[str]) -> None:
    """See that the annotation files of a config are there.

    MMPose finds that out after it has built the model and printed the config, hundreds of lines.

    Args:
        config: with overrides.
        parts: of ``'train'``, ``'val'`` and ``'test'``, what the run will build.

    Raises:
        UserError: a file is missing; names it, the key and the folder that exists.
    """
    from rlepose_ext.annotations.coco_file import missing

    for part in parts:
        for data_set in _data_sets(config.get(f'{part}_dataloader')):
            root = data_set.get('data_root') or ''
            for key, what in _FILES.items():
                name = data_set.get(key)
                # As MMPose's data sets join them: the file of boxes is not below the root.
                path = os.path.join(root, name) if name and key == 'ann_file' else name
                if path and '://' not in path and not Path(path).exists():
                    raise missing(what, path, f'data_root and {key}')


def _data_sets(node: Any) -> Iterator[Mapping]:
    """All parts that name an annotation file, those of combined data sets too."""
    if isinstance(node, Mapping):
        if isinstance(node.get('ann_file'), str):
            yield node
        for value in node.values():
            yield from _data_sets(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _data_sets(value)
