"""Data paths of configs that inherit from ``mmpose::`` follow ``RLEPOSE_DATA``.

This package's own bases read ``{{$RLEPOSE_DATA:data}}``. MMPose's configs say ``data/coco/``
in every data set and evaluator, so a leaf over one of them works only in a folder with
a link named ``data``, or repeats all these lines. If the user has set the variable, every Runner
that is built from a config looks for ``data/...`` below ``$RLEPOSE_DATA``
(:mod:`rlepose_ext.engine.equip`); otherwise nothing changes. Absolute paths and other relative
ones stay as they are. A tool that builds a data set from a config calls :func:`move_data` first.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

VARIABLE = 'RLEPOSE_DATA'

_PARTS = tuple(f'{split}_dataloader' for split in ('train', 'val', 'test'))
_PARTS += ('val_evaluator', 'test_evaluator')
# data_root, img_root, ann_file, bbox_file, headbox_file, prefix_file, img_prefix, ...
_PATH_KEY = re.compile(r'(^|_)(root|file|files|prefix|path|dir|folder)$')
# Results, not data.
_OUTPUTS = {'outfile_prefix', 'out_dir', 'save_dir', 'outfile'}
# A data set joins these to its data_root, if it has one.
_JOINED = {'ann_file', 'data_prefix'}
_DATA = re.compile(r'(?P<scheme>file://)?(?:\./)?data(?P<rest>/.*)?', re.DOTALL)


def move_path(path: str, root: str) -> str:
    """``path`` below ``root`` if it begins with the folder ``data``, otherwise as it is.

    Args:
        path: a path, or a ``file://`` address of one.
        root: the folder that stands for ``data``. A path that lies in it already is not
            moved a second time.
    """
    match = _DATA.fullmatch(path)
    plain = path.removeprefix('file://')
    inside = plain.rstrip('/') == root.rstrip('/') or plain.startswith(root.rstrip('/') + '/')
    if match is None or inside:
        return path
    return (match['scheme'] or '') + root.rstrip('/') + (match['rest'] or '')


def move_data(config: Any, root: str) -> Any:
    """A copy of ``config`` whose data sets and evaluators look below ``root``.

    Every path in the data loaders and evaluators, nested ones included, is moved by
    :func:`move_path`. ``ann_file`` and ``data_prefix`` beside a ``data_root`` are relative to
    that one and stay; ``bbox_file`` and ``headbox_file`` are not, and move.

    Args:
        config: an ``mmengine.Config`` or a plain dict, left as it is.
        root: the folder that stands for ``data``.

    Returns:
        The same type as ``config``.
    """
    config = copy.deepcopy(config)
    for name in _PARTS:
        if config.get(name) is not None:
            config[name] = _moved(config[name], root, is_path=False)
    return config


def _moved(node: Any, root: str, is_path: bool) -> Any:
    """``node`` with its paths moved; ``is_path``: strings here stand under a key for paths."""
    if isinstance(node, Mapping):
        rooted = bool(node.get('data_root'))
        for key, value in list(node.items()):
            if key in _OUTPUTS or (rooted and key in _JOINED):
                continue
            node[key] = _moved(value, root, is_path or _PATH_KEY.search(str(key)) is not None)
        return node
    if isinstance(node, (list, tuple)):
        return type(node)([_moved(value, root, is_path) for value in node])
    return move_path(node, root) if is_path and isinstance(node, str) else node
