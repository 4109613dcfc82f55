"""The rooms of the package and the arrows between them, read from the imports."""

from __future__ import annotations

import ast
from pathlib import Path

from doc_tables.common import ROOT, table

PACKAGE = ROOT / 'rlepose_ext'
# Single files that everything may import, and that import nothing above them.
GROUND = 'ground'
GROUND_FILES = (
    'errors', 'checks', 'registry', 'resources', 'imports', 'gpus', 'data_paths', 'programs',
    'quiet',
    'version',
)  # fmt: skip


def imports(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Which room imports which, imports inside of functions included.

    A room is a folder of the package, or a file beside the folders; those in ``GROUND_FILES`` are
    one room.
    """
    arrows: dict[str, set[str]] = {}
    for path in sorted(package.rglob('*.py')):
        if path in (package / '__init__.py', package / '__main__.py'):
            continue
        room = _room(path.relative_to(package).with_suffix('').parts[0])
        for name in _imported(ast.parse(path.read_text()), package.name):
            other = _room(name)
            arrows.setdefault(room, set())
            if other != room and name != '__init__':
                arrows[room].add(other)
    return arrows


def _imported(tree: ast.Module, package: str) -> set[str]:
    """First names below the package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            paths = [f'{node.module}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        else:
            continue
        names |= {path.split('.')[1] for path in paths if path.startswith(f'{package}.')}
    return names


def _room(name: str) -> str:
    return GROUND if name in GROUND_FILES else name


def floors(arrows: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each room: 0, or one above the highest that it imports.

    Raises:
        ValueError: some rooms import each other in a circle.
    """
    found: dict[str, int] = {}

    def floor(room: str, path: tuple[str, ...]) -> int:
        if room in path:
            circle = ' -> '.join([*path[path.index(room) :], room])
            raise ValueError(f'rooms import each other: {circle}')
        if room not in found:
            below = [floor(other, (*path, room)) for other in sorted(arrows.get(room, ()))]
            found[room] = max(below, default=-1) + 1
        return found[room]

    for room in arrows:
        floor(room, ())
    return found


def drawn(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows without those that follow from others."""

    def reach(room: str) -> set[str]:
        below = arrows.get(room, set())
        return below.union(*(reach(other) for other in below))

    return {
        room: below - set().union(*(reach(other) for other in below))
        for room, below in arrows.items()
    }


def rooms() -> str:
    """A picture for GitHub, and what lies in each room."""
    arrows = imports()
    levels = floors(arrows)
    order = sorted(levels, key=lambda room: (-levels[room], room))
    short = drawn(arrows)
    lines = ['```mermaid', 'flowchart TD']
    for room in order:
        for other in sorted(short.get(room, ()), key=order.index):
            lines.append(f'    {room} --> {other}')
    rows = [
        (f'`{room}`', _purpose(room), ', '.join(f'`{other}`' for other in order if other in below))
        for room in order
        for below in [arrows.get(room, set())]
    ]
    return '\n'.join([*lines, '```', '', table(('room', 'what lies there', 'imports'), rows)])


def _purpose(room: str) -> str:
    """The first sentence of its docstring."""
    if room == GROUND:
        return 'single files: ' + ', '.join(f'`{name}.py`' for name in GROUND_FILES)
    path = PACKAGE / room / '__init__.py'
    path = path if path.exists() else PACKAGE / f'{room}.py'
    text = ast.get_docstring(ast.parse(path.read_text())) or ''
    return text.splitlines()[0].replace('``', '`')
