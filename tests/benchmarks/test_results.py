"""A file of results that grows row by row, in order, and is never left half written."""

import json

import _results
import pytest

from rlepose_ext.errors import UserError

CODE = ('benchmarks/_results.py',)


def read(path):
    return json.loads(path.read_text())


def test_rows_stand_in_order_and_replace_their_like(tmp_path):
    path = tmp_path / 'some' / 'rows.json'
    results = _results.Results(path, ['a', 'b'], {'steps': 5}, CODE, seed=[0, 1])
    results.add({'name': 'b', 'value': 1})
    results.add({'name': 'a', 'value': 2})
    results.add({'name': 'b', 'value': 3})
    assert [(row['name'], row['value']) for row in read(path)['rows']] == [('a', 2), ('b', 3)]
    assert (read(path)['steps'], read(path)['seed']) == (5, [0, 1])
    assert [p.name for p in path.parent.iterdir()] == ['rows.json']
    for row in read(path)['rows']:
        assert row['date'] == read(path)['date']
        assert {'commit', 'machine'} < set(row)
    assert read(path)['code'][-1] == CODE[0]


def test_it_goes_on_where_it_was(tmp_path):
    path = tmp_path / 'rows.json'
    _results.Results(path, ['a', 'b'], {'size': 'full'}, CODE).add({'name': 'a'})
    again = _results.Results(path, ['a', 'b'], {'size': 'full'}, CODE)
    assert (again.has('a'), again.has('b')) == (True, False)
    again.drop(lambda row: row['name'] == 'a')
    again.add({'name': 'b'})
    assert [row['name'] for row in read(path)['rows']] == ['b']
    with pytest.raises(UserError, match=r"made with .*'full'.*, not .*'small'.*--out"):
        _results.Results(path, [], {'size': 'small'}, CODE)


def test_a_failed_write_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / 'rows.json'
    results = _results.Results(path, ['a', 'b'], {}, CODE)
    results.add({'name': 'a'})
    before = path.read_text()
    monkeypatch.setattr(_results.os, 'replace', fail)
    with pytest.raises(OSError, match='disk'):
        results.add({'name': 'b'})
    assert path.read_text() == before


def fail(*args):
    raise OSError('no room on the disk')
