"""Exceptions for mistakes in the data that a user gave, and the words they share.

They are constructed from one string, because a DataLoader rebuilds a worker's exception that
way in the main process.
"""

from __future__ import annotations

from pathlib import Path

from rlepose_ext.errors import UserError


class DataError(UserError, ValueError):
    """A file of the data set cannot be used as it is."""


class MissingFileError(UserError, FileNotFoundError):
    """A file of the data set is not there."""


def missing(what: str, path: str | Path, key: str) -> MissingFileError:
    """The error for a file that does not exist.

    Args:
        what: what the file is, such as ``'annotation file'``.
        path: where it was looked for.
        key: what to change in the config.
    """
    path = Path(path)
    parent = path.parent
    seen = next((p for p in [parent, *parent.parents] if p.is_dir()), None)
    if seen == parent:
        where = f'the folder {parent} exists, the file does not'
    else:
        where = f'of its folder only {seen} exists' if seen else 'nor does its folder exist'
    return MissingFileError(
        f'{what} {path} does not exist ({where}, seen from {Path.cwd()}). Check {key} in the '
        'config; our configs look below the folder named by the variable RLEPOSE_DATA.'
    )
