"""From what a user types to an entry of the zoo."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rlepose_ext.errors import UserError
from rlepose_ext.zoo.metafiles import Entry, read_zoo

_LISTED = '`rlepose zoo` lists them all.'


def find(name: str, entries: Sequence[Entry] | None = None) -> Entry:
    """The entry of a config.

    Args:
        name: its name, the path of its file (as in the checkout, or any that leads there), or
            its short name (what stands before the schedule, ``simcc_hrnetlite-sk``) or the foreign
            weights that it is for (``movenet-thunder``), if only one config has that.
        entries: where to look; the whole zoo if absent.

    Raises:
        UserError: there is none, or a short name has several; near ones are named.
    """
    entries = read_zoo() if entries is None else entries
    path = Path(name)
    stem = path.name.removesuffix('.py')
    if path.suffix == '.pth':
        raise UserError(f'{name} is a checkpoint; expected a config, or its name, before it')
    by_name = {entry.name: entry for entry in entries}
    if len(path.parts) > 1 and not (stem in by_name and _leads_to(path, by_name[stem])):
        problem = 'is no config of the zoo' if path.exists() else 'does not exist'
        there = f'; the one of that name is {by_name[stem].config}' if stem in by_name else ''
        raise UserError(f'{name} {problem}{there}. {_LISTED}')
    if stem in by_name:
        return by_name[stem]
    same = [entry for entry in entries if stem in (short_name(entry.name), entry.converted_from)]
    if len(same) == 1:
        return same[0]
    if same:
        raise UserError(
            f'{name!r} stands for {len(same)} configs; name one: '
            + ', '.join(entry.name for entry in same)
        )
    raise UserError(f'no config of the zoo is called {name!r}. {nearest(stem, by_name)}')


def _leads_to(path: Path, entry: Entry) -> bool:
    return path.samefile(entry.path) if path.exists() else path.as_posix() == entry.config


def short_name(stem: str) -> str:
    """``rle_res50`` of ``rle_res50_8xb64-210e_coco-256x192``."""
    return re.split(r'[_-]\d+xb', stem)[0]


def of_family(family: str, entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a family.

    Raises:
        UserError: there is no such family.
    """
    found = [entry for entry in entries if entry.family == family]
    if not found:
        families = dict.fromkeys(entry.family for entry in entries)
        raise UserError(f'no family is called {family!r}; there are {", ".join(families)}')
    return found


def nearest(name: str, names: Iterable[str], number: int = 3) -> str:
    """``Nearest: a, b.``, and where all of them are listed."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=number, cutoff=0.3)
    close += [each for each in names if name and name in each and each not in close]
    return f'Nearest: {", ".join(close[:number])}. {_LISTED}' if close else _LISTED
