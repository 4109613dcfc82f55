"""Logs of several starts become one curve; what to draw; what it looks like."""

import json
import math

import pytest
from matplotlib.figure import Figure

from rlepose_ext.errors import UserError
from rlepose_ext.run_logs.curves import (
    Run,
    choose_metrics,
    describe,
    find_logs,
    merge,
    read_log,
    read_run,
    short_names,
)
from rlepose_ext.run_logs.plot_curves import check_target, draw_curves


def train_row(step, loss=1.0, **more):
    return {'loss': loss, 'lr': 0.1, 'time': 0.5, 'epoch': 1, 'iter': step, 'step': step, **more}


def val_row(step, ap=0.5):
    return {'coco/AP': ap, 'coco/AR': 0.6, 'time': 0.1, 'step': step}


def write_start(work_dir, name, rows, end=''):
    log = work_dir / name / 'vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(json.dumps(row) + '\n' for row in rows) + end)
    return log


def steps(rows):
    return [(row['step'], row['loss']) for row in rows]


def test_a_resumed_start_replaces_what_it_repeats(tmp_path):
    # killed at 40, the checkpoint was at 20; started again and killed at once; then to the end
    first = [train_row(10, 1), train_row(20, 2), val_row(1, 0.1), train_row(30, 3)]
    write_start(tmp_path, '20260101_000000', first, end='{"loss": 4, "st')
    write_start(tmp_path, '20260102_000000', [train_row(30, -3)])
    last = [train_row(30, 33), val_row(2, 0.2), train_row(40, 44)]
    write_start(tmp_path, '20260103_000000', last)
    # a test in the same folder logs nothing here
    (tmp_path / '20260104_000000/vis_data').mkdir(parents=True)
    run = read_run(tmp_path)
    assert steps(run.train) == [(10, 1), (20, 2), (30, 33), (40, 44)]
    assert run.curve('coco/AP') == ([1, 2], [0.1, 0.2])
    assert (run.starts, run.bad_lines, run.name) == (3, 1, tmp_path.name)


def test_merge():
    a, b = [train_row(s, 0) for s in (10, 20, 30)], [train_row(s, 1) for s in (15, 25)]
    assert steps(merge([a, b])) == [(10, 0), (15, 1), (25, 1)]
    # begun anew: nothing of the old run is left
    assert steps(merge([a, [train_row(10, 1)]])) == [(10, 1)]
    assert steps(merge([a, [], [train_row(40, 1)]])) == [*steps(a), (40, 1)]
    assert steps(merge([[train_row(10, 0), train_row(10, 1)]])) == [(10, 1)]
    assert merge([]) == []


def test_lines_that_are_no_rows(tmp_path):
    text = '\n{"step": 1, "loss": NaN, "iter": 1, "note": "x"}\n\0\0\n[1]\n{"loss": 2}\n'
    log = tmp_path / 'scalars.json'
    log.write_text(text)
    train, val, bad = read_log(log)
    assert (len(train), val, bad) == (1, [], 3)
    assert math.isnan(train[0]['loss'])
    assert 'note' not in train[0]


def test_prefixes_of_log_with_hierarchy(tmp_path):
    rows = [{'train/loss': 1, 'iter': 5, 'step': 5}, {'val/coco/AP': 0.5, 'val/time': 1, 'step': 1}]
    train, val, _ = read_log(write_start(tmp_path, '20260101_000000', rows))
    assert train == [{'loss': 1, 'iter': 5, 'step': 5}]
    assert val == [{'coco/AP': 0.5, 'time': 1, 'step': 1}]


def test_what_steps_count():
    run = Run('a', [train_row(100, epoch=3)], [val_row(3)])
    # times of training and validation are two curves
    assert run.curve('time') == ([100], [0.5])
    assert run.curve('val/time') == ([3], [0.1])
    assert run.curve('nothing') == ([], [])
    assert (run.unit('loss'), run.unit('coco/AP')) == ('iteration', 'epoch')
    no_epochs = {k: v for k, v in train_row(100).items() if k != 'epoch'}
    assert Run('a', [no_epochs], [val_row(100)]).unit('coco/AP') == 'iteration'
    assert Run('a', [train_row(100, epoch=3)], [val_row(100)]).unit('coco/AP') == 'iteration'


def test_choice_of_metrics():
    plain = Run('a', [train_row(1, loss_kpt=1.0, acc_pose=0.5)], [{**val_row(1), 'PCK': 1}])
    assert choose_metrics([plain]) == ['loss', 'acc_pose', 'coco/AP', 'PCK']
    parts = Run('b', [train_row(1, loss_rle=1.0, loss_simcc=0.5)])
    assert choose_metrics([parts]) == ['loss', 'loss_rle', 'loss_simcc']
    assert choose_metrics([plain, parts], ['lr', 'lr', 'coco/AR']) == ['lr', 'coco/AR']
    assert {'lr', 'time', 'coco/AR', 'val/time'} <= set(choose_metrics([plain], ['all']))
    with pytest.raises(UserError, match=r'coco/AQ.*there are .*coco/AP.*lr'):
        choose_metrics([plain], ['coco/AQ'])


def test_description():
    run = Run('a', [train_row(s, 1 / s) for s in (1, 1234567)], [val_row(2)], 2, 1)
    assert describe(run, ['loss', 'lr', 'coco/AP', 'PCK']).splitlines() == [
        'a, 2 starts, 1 broken lines left out',
        '  loss: 8.10001e-07 at iteration 1234567, best 8.10001e-07 at 1234567',
        '  lr: 0.1 at iteration 1234567',
        '  coco/AP: 0.5 at epoch 2, best 0.5 at 2',
        '  PCK: not logged',
    ]
    # the best is the first of the largest, of losses and errors the smallest, and never nan
    ap = [val_row(s, value) for s, value in enumerate((0.1, 0.3, 0.3, math.nan), 1)]
    nme = [{'wflw/NME': value, 'step': s} for s, value in ((1, 0.1), (2, 0.3))]
    assert 'best 0.3 at 2' in describe(Run('a', [], ap), ['coco/AP'])
    assert 'best 0.1 at 1' in describe(Run('a', [], nme), ['wflw/NME'])
    diverged = Run('a', [train_row(1, math.nan)])
    assert describe(diverged, ['loss']).endswith('loss: nan at iteration 1')


def test_names_are_as_short_as_they_may_be(tmp_path):
    folders = [tmp_path / 'seed0/rle', tmp_path / 'seed1/rle', tmp_path / 'seed1/skps']
    assert short_names(folders) == ['seed0/rle', 'seed1/rle', 'seed1/skps']
    assert short_names(folders[1:]) == ['rle', 'skps']
    assert short_names([folders[0], folders[0]]) == ['rle', 'rle']


def test_folders_without_logs(tmp_path):
    with pytest.raises(UserError, match='is not a folder'):
        find_logs(tmp_path / 'nothing')
    with pytest.raises(UserError, match=r'expected logs .*scalars\.json'):
        find_logs(tmp_path)
    log = write_start(tmp_path / 'run', '20260101_000000', [])
    with pytest.raises(UserError, match=r'Runs lie in .*run: give those'):
        find_logs(tmp_path)
    with pytest.raises(UserError, match='expected lines of JSON'):
        read_run(tmp_path / 'run')
    # the folder of one start does as well
    assert find_logs(log.parents[1]) == [log]


def test_picture(tmp_path, monkeypatch):
    """What is drawn, read back from the figure: axes, legend, and lines that differ in shape."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, 'savefig', lambda self, *a, **k: figures.append(self) or save(self, *a, **k)
    )
    runs = []
    for i, (name, epochs) in enumerate([('first', [1, 2]), ('second', [1]), ('third', [])]):
        losses = [train_row(s, s + i, epoch=s) for s in range(1, 60)]
        runs.append(Run(name, losses, [val_row(s) for s in epochs]))
    out = tmp_path / 'new folder' / 'curves.png'
    draw_curves(runs, ['loss', 'lr', 'coco/AP', 'time'], out)
    assert out.read_bytes().startswith(b'\x89PNG')
    (figure,) = figures
    loss, rate, ap, seconds = figure.axes
    assert [axis.get_title(loc='left') for axis in figure.axes] == ['loss', 'lr', 'coco/AP', 'time']
    assert [axis.get_xlabel() for axis in (loss, ap)] == ['iteration', 'epoch']
    assert [axis.get_ylabel() for axis in (rate, ap, seconds)] == ['learning rate', 'coco/AP', 's']
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['first', 'second', 'third']
    drawn = [line for line in loss.lines if len(line.get_xdata())]
    assert [list(line.get_ydata()) for line in drawn] == [
        [row['loss'] for row in run.train] for run in runs
    ]
    assert len({(line.get_linestyle(), line.get_marker()) for line in drawn}) == 3
    assert len(ap.lines) == 2
    for other in ('curves', 'curves.jpg'):
        with pytest.raises(UserError, match=r'ends in \.png'):
            check_target(tmp_path / other)
