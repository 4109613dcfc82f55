"""The benchmarks of speed, at a small scale: their rows, and that the sides do the same."""

import json

import compiled
import data_path
import machine
import pytest

pytestmark = pytest.mark.slow

SLIM = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'


def test_mixed_precision_trains_alike():
    plain, amp = compiled.measure(SLIM, batch=4, rounds=2, sides=['plain', 'amp'])
    assert (plain['side'], amp['side']) == ('plain', 'amp')
    assert plain['times_plain']['median'] == 1
    assert amp['losses'] == pytest.approx(plain['losses'], rel=0.05)
    assert amp['losses'] != plain['losses']


def test_samples_of_all_sides_are_equal():
    # measure() ends the program where the sums of pixels differ
    rows = data_path.measure(rounds=1, samples=2, methods=['RLE', 'SKPS'])
    assert [row['side'] for row in rows] == 2 * list(data_path.SIDES)


def test_a_part_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    output = tmp_path / 'machine.json'

    def failing(rounds):
        raise RuntimeError('no such thing here')

    monkeypatch.setitem(machine.PARTS, 'frames', failing)
    monkeypatch.setattr(
        'sys.argv',
        ['machine.py', '--parts', 'frames', 'loss', '--rounds', '1', '--output', str(output)],
    )
    machine.main()
    failed, *rows = json.loads(output.read_text())['rows']
    assert 'no such thing here' in failed['what']
    assert {row['part'] for row in rows} == {'loss'}
    assert all(row['ours'] > 0 and row['ratio']['median'] > 0 for row in rows)
