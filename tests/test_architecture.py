"""Rooms of the package: imports go one way, and the picture shows them all."""

import re
from pathlib import Path

import pytest

from doc_tables.rooms import drawn, floors, imports

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'architecture.md'


def below(room, arrows):
    found = set(arrows.get(room, ()))
    return found.union(*(below(other, arrows) for other in found))


def test_no_rooms_import_each_other():
    assert floors(imports())['ground'] == 0


def test_the_picture_has_every_import():
    picture = {}
    for room, other in re.findall(r'^ +(\w+) --> (\w+)$', PAGE.read_text(), re.M):
        picture.setdefault(room, set()).add(other)
    arrows = imports()
    assert set(picture) <= set(arrows)
    for room, others in arrows.items():
        assert picture.get(room, set()) <= others, f'{room}: an arrow without an import'
        assert others <= below(room, picture), f'{room}: an import without an arrow'


def test_circles_are_found_and_shortcuts_are_not_drawn():
    with pytest.raises(ValueError, match='a -> b -> a'):
        floors({'a': {'b'}, 'b': {'a'}})
    assert drawn({'a': {'b', 'c'}, 'b': {'c'}}) == {'a': {'b'}, 'b': {'c'}}


def test_imports_in_functions_count(tmp_path):
    package = tmp_path / 'rlepose_ext'
    (package / 'low').mkdir(parents=True)
    (package / 'low' / '__init__.py').write_text('def f():\n    from rlepose_ext.high import g\n')
    (package / 'high.py').write_text('import rlepose_ext.low\n')
    assert imports(package) == {'low': {'high'}, 'high': {'low'}}
