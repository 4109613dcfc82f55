"""Looks for the files of a training's data before anything is built or printed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlepose_ext.data_paths import VARIABLE, move_data

# What a data set reads when it is built, and what the user would change.
_FILES = {'ann_file': 'annotation file', 'bbox_file': 'detection file'}


def check_data_files(config: str, cfg_options: Sequence[str], parts: Sequence[str]) -> None:
    """See that the annotation files of a config are there.

    MMPose finds that out after it has built the model and printed the config, hundreds of lines.
    What else is wrong with the config is left to MMPose's script, which says it.

    Args:
        config: its path.
        cfg_options: overrides, ``key=value``.
        parts: of ``'train'``, ``'val'`` and ``'test'``, what the run will build.

    Raises:
        UserError: a file is missing; names it, the key and the folder that exists.
    """
    from rlepose_ext.annotations.coco_file import missing

    content = _read(config, cfg_options)
    if content is None:
        return
    for part in parts:
        for data_set in _data_sets(content.get(f'{part}_dataloader')):
            root = data_set.get('data_root') or ''
            for key, what in _FILES.items():
                name = data_set.get(key)
                # As MMPose's data sets join them: the file of boxes is not below the root.
                path = os.path.join(root, name) if name and key == 'ann_file' else name
                if path and '://' not in path and not Path(path).exists():
                    raise missing(what, path, f'data_root and {key}')


def _read(config: str, cfg_options: Sequence[str]) -> Any:
    """The config as the run will have it; nothing if it cannot be read."""
    import argparse

    from mmengine.config import Config, DictAction

    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    try:
        content = Config.fromfile(config, import_custom_modules=False)
        if cfg_options:
            options = parser.parse_args(['--cfg-options', *cfg_options]).cfg_options
            content.merge_from_dict(options)
        root = os.environ.get(VARIABLE)
        return move_data(content, root) if root else content
    except (Exception, SystemExit):  # a config is a program and may raise anything
        return None


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
