#!/usr/bin/env python3
"""Write the generated tables of the documents: ``make docs``.

    python tools/make_docs.py            # bring every block up to date
    python tools/make_docs.py --check    # change nothing; status 1 if a block is stale
    python tools/make_docs.py --as-of HEAD    # docs/records.md counts the commits up to this one

A block lies between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Its text comes
from a file that a program has written or reads: ``benchmarks/results/*.json``,
``rlepose_ext.compat.PATCHES``, ``configs/*/metafile.yml``. The tables are in ``doc_tables/``.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from pathlib import Path

from doc_tables import BLOCKS
from doc_tables.history import records

ROOT = Path(__file__).resolve().parents[1]

BLOCK = re.compile(
    r'(?P<open><!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(?P<close><!-- end -->)', re.S
)
# Opening and closing marks, to find those without a partner.
MARK = re.compile(r'<!-- (?:generated:.*?|end) -->')


def documents() -> list[Path]:
    """Every document that may hold blocks."""
    return sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/*/*.md')])


def render(text: str, source: str) -> str:
    """Replace the body of every block.

    Args:
        text: a document.
        source: its name, for messages.

    Raises:
        ValueError: an unknown block, or a mark without its partner.
    """

    def fill(match: re.Match) -> str:
        name = match['name']
        if name not in BLOCKS:
            raise ValueError(f'{source}: no block is called {name!r}; there are {sorted(BLOCKS)}')
        return f'{match["open"]}\n{BLOCKS[name]().strip()}\n\n{match["close"]}'

    blocks = list(BLOCK.finditer(text))
    if len(MARK.findall(text)) != 2 * len(blocks):
        raise ValueError(f'{source}: a "generated" mark without its "end", or the reverse')
    return BLOCK.sub(fill, text)


def stale() -> dict[Path, str]:
    """Documents that are not up to date, with the text that they should have."""
    wanted = {path: render(path.read_text(), path.name) for path in documents()}
    return {path: text for path, text in wanted.items() if text != path.read_text()}


def main() -> int:
    """0, or 1 when ``--check`` found a stale block."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing, report stale files')
    parser.add_argument(
        '--as-of', metavar='COMMIT', help='count the commits since records up to it'
    )
    args = parser.parse_args()
    if args.as_of:
        BLOCKS['records'] = functools.partial(records, args.as_of)
    found = stale()
    for path, text in found.items():
        name = path.relative_to(ROOT)
        if args.check:
            print(f'{name}: generated tables are stale, run `make docs`', file=sys.stderr)
        else:
            path.write_text(text)
            print(f'{name}: written')
    return 1 if args.check and found else 0


if __name__ == '__main__':
    sys.exit(main())
