"""Which commit a record was made at, and how often its code has changed since."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGES = '+changes'


def no_history() -> str | None:
    """Why commits cannot be looked up here, or ``None`` where they can."""
    try:
        if Path(_git('rev-parse', '--show-toplevel')).resolve() != ROOT:
            return 'not a git checkout'
        shallow = _git('rev-parse', '--is-shallow-repository') == 'true'
    except (OSError, subprocess.CalledProcessError):
        return 'not a git checkout'
    return 'a shallow clone: git fetch --unshallow' if shallow else None


def commit(code: Sequence[str]) -> str | None:
    """Hash of the checkout, ``None`` where it is none.

    Args:
        code: files and folders that matter, relative to the checkout. If one of them differs
            from the commit, or has a file that is not in it, ``+changes`` follows.
    """
    try:
        name = _git('rev-parse', 'HEAD')
        changed = _git('status', '--porcelain', '--', *code)
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + (CHANGES if changed else '')


def in_history(name: str) -> bool:
    """Whether a commit is ``HEAD`` or one of its ancestors."""
    try:
        _git('merge-base', '--is-ancestor', name, 'HEAD')
    except subprocess.CalledProcessError:
        return False
    return True


def exists(name: str, path: str) -> bool:
    """Whether a commit has a file or folder."""
    try:
        _git('cat-file', '-e', f'{name}:{path}')
    except subprocess.CalledProcessError:
        return False
    return True


def changes(since: str, code: Sequence[str], until: str = 'HEAD') -> int:
    """How many commits after ``since``, up to ``until``, changed one of the paths ``code``."""
    return int(_git('rev-list', '--count', f'{since}..{until}', '--', *code))


def dated(name: str) -> tuple[str, str]:
    """Full hash of a commit, and its day."""
    full, day = _git('show', '--no-patch', '--format=%H %cs', name).split()
    return full, day


def _git(*arguments: str) -> str:
    return subprocess.run(
        ['git', *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
