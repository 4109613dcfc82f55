"""What benchmarks share: taking turns, medians, and a file that says how it was made."""

import importlib.util
import json
import sys

import pytest


@pytest.fixture
def module(root):
    spec = importlib.util.spec_from_file_location('_record', root / 'benchmarks' / '_record.py')
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_candidates_take_turns(module):
    calls = []
    candidates = {'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')}
    seconds = module.interleaved(candidates, repeats=3, warmup=1)
    assert ''.join(calls) == 'ba' + 'ab' + 'ba' + 'ab'
    assert {name: len(values) for name, values in seconds.items()} == {'a': 3, 'b': 3}
    assert min(seconds['a']) > 0


def test_summary_and_ratios(module):
    assert module.summary([5.0, 1.0, 2.0, 4.0, 3.0]) == {'median': 3.0, 'q25': 2.0, 'q75': 4.0}
    assert module.ratios({'peer': [4.0, 9.0], 'ours': [2.0, 3.0]}, 'peer', 'ours') == [2.0, 3.0]


def test_record_says_how(module, tmp_path, monkeypatch, root):
    script = root / 'benchmarks' / 'some.py'
    monkeypatch.setattr(sys, 'argv', [str(script), '--repeats', '3'])
    path = tmp_path / 'results' / 'some.json'
    written = module.record(path, [{'value': 1}], seed=7)
    assert json.loads(path.read_text()) == written
    assert written['command'] == 'python benchmarks/some.py --repeats 3'
    assert written['seed'] == 7
    assert written['rows'] == [{'value': 1}]
    assert written['versions']['torch']
    assert {'cpu', 'cores', 'threads'} <= set(written['machine'])
    assert written['commit']


def test_rle_loss_was_measured_and_is_no_slower(root):
    written = json.loads((root / 'benchmarks' / 'results' / 'rle_loss.json').read_text())
    cpu = {(row['batch'], row['visible']): row for row in written['rows'] if row['device'] == 'cpu'}
    assert set(cpu) == {(64, 1.0), (64, 0.7), (1024, 1.0), (1024, 0.7)}
    for row in written['rows']:
        assert row['joints'] == 17
        assert row['times_faster']['median'] >= 1
