"""The main job: what it shows, what it writes, how it fails."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from movenet_weights import model_json

from rlepose_ext.cli import main
from rlepose_ext.errors import UserError
from rlepose_ext.quickstart import Quickstart, job
from rlepose_ext.quickstart.pictures import draw_sheet
from rlepose_ext.quickstart.watch import essence, watch

TRAIN = (
    '2026/01/01 00:00:00 - mmengine - INFO - Epoch(train)  [2][ 50/508]  lr: 1.5e-03  '
    'eta: 0:01:02  time: 0.104321  data_time: 0.02  loss: -67.931234  loss_kpt: -67.93'
)
TEST = 'mmengine - INFO - Epoch(test) [7/7]    coco/AP: 0.501234  coco/AP .5: 0.8'


def test_essence_of_a_log():
    expected = 'epoch  2, iteration  50/508, loss   -67.93, 0.10 s each, 0:01:02 left'
    assert essence(TRAIN) == expected
    assert essence(TEST) == 'coco/AP 0.501'
    assert essence('mmengine - INFO - System environment:') is None


def test_watch_records_everything_and_shows_the_essence(tmp_path, capsys):
    code = f'import os; print("noise", os.environ["COLOUR"]); print({TRAIN!r})'
    watch([sys.executable, '-c', code], tmp_path / 'log', {'COLOUR': 'red'})
    assert (tmp_path / 'log').read_text().startswith('noise red\n')
    shown = capsys.readouterr().out
    assert 'epoch  2' in shown
    assert 'noise' not in shown
    code = 'print("the reason"); raise SystemExit(3)'
    with pytest.raises(UserError, match=r'status 3[\s\S]*the reason'):
        watch([sys.executable, '-c', code], tmp_path / 'log', {})


def test_sheet_holds_every_picture(tmp_path):
    paths = []
    for index, shape in enumerate([(40, 20), (20, 40), (30, 30)]):
        paths.append(tmp_path / f'{index}.png')
        cv2.imwrite(str(paths[-1]), np.full((*shape, 3), 100 + index, np.uint8))
    draw_sheet(paths, tmp_path / 'sheet.png', columns=2, tile=64)
    page = cv2.imread(str(tmp_path / 'sheet.png'))
    assert page.shape == (128, 128, 3)
    assert [page[10, 10, 0], page[10, 74, 0], page[74, 10, 0]] == [100, 101, 102]


@pytest.mark.parametrize(('ap', 'status'), [(0.31, 0), (0.29, 1)])
def test_status_follows_the_ap(tmp_path, monkeypatch, capsys, ap, status):
    monkeypatch.setattr(job, '_draw_data', lambda folder, options: None)
    monkeypatch.setattr(job, '_train', lambda *args: tmp_path / 'epoch_6.pth')
    monkeypatch.setattr(job, '_test', lambda *args: {'coco/AP': ap})
    monkeypatch.setattr(job, '_draw_pictures', lambda *args: [tmp_path / 'sheet.png'])
    monkeypatch.setattr(job, '_mean_pose_ap', lambda paths: 0.01)
    monkeypatch.setattr(job, '_samples_per_second', lambda out: 200.0)
    monkeypatch.setattr('rlepose_ext.quickstart.photograph.draw_photograph', lambda out: None)
    assert main.main(['quickstart', '--out', str(tmp_path / 'out')]) == status
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert summary['metrics'] == {'coco/AP': ap}
    assert summary['train_seconds'] >= 0
    assert summary['checkpoint'] == str(tmp_path / 'epoch_6.pth')
    assert ('FAILED' in capsys.readouterr().err) == bool(status)


def test_a_failing_run_leaves_no_result_of_an_older_one(tmp_path, monkeypatch):
    out = tmp_path / 'out'
    (out / 'train').mkdir(parents=True)
    for name in ('summary.json', 'photograph.jpg', 'train/last_checkpoint'):
        (out / name).write_text('old')

    def fail(folder, options):
        raise UserError('no space')

    monkeypatch.setattr(job, '_draw_data', fail)
    assert main.main(['quickstart', '--out', str(out)]) == 2
    assert [path.name for path in out.rglob('*') if path.is_file()] == []


def test_epochs_move_the_schedule_too():
    assert job._length(Quickstart()) == []
    assert 'param_scheduler.1.T_max=20' in job._length(Quickstart(epochs=20))


@pytest.mark.slow
def test_the_whole_job_in_miniature(tmp_path):
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', 'quickstart', '--out', 'run']
    command += ['--train-images', '48', '--val-images', '6', '--lowest-ap', '0']
    command += ['--epochs', '1', '--cfg-options', 'default_hooks.logger.interval=1']
    # A blank and a comma in the path are what --cfg-options would tear apart.
    tmp_path = tmp_path / 'my work, here'
    tmp_path.mkdir()
    env = {**os.environ, 'RLEPOSE_SHARED': str(tmp_path / 'none')}
    # Without mim and what only mim needs.
    for name in ('mim', 'click', 'pandas', 'colorama', 'model_index', 'tabulate'):
        missing = tmp_path / 'absent' / f'{name}.py'
        missing.parent.mkdir(exist_ok=True)
        missing.write_text(f'raise ModuleNotFoundError("No module named {name!r}", name={name!r})')
    env['PYTHONPATH'] = os.pathsep.join(
        [str(tmp_path / 'absent'), os.environ.get('PYTHONPATH', '')]
    )
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
    assert 0 <= summary['metrics']['coco/AP'] <= 1
    assert summary['samples_per_second'] > 0
    assert summary['mean_pose_ap'] < 0.2
    for path in [summary['checkpoint'], *summary['images']]:
        assert os.path.getsize(path) > 0
    assert 'epoch  1, iteration' in done.stdout
    assert 'run/summary.json' in done.stdout

    again = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert 'already there' in again.stdout
    assert (tmp_path / 'run' / 'summary.json').is_file()


def test_a_photograph_at_the_end(tmp_path):
    from rlepose_ext.quickstart.photograph import draw_photograph

    for arch in ('multipose', 'thunder'):
        model_json(arch)
    drawn = cv2.imread(str(draw_photograph(tmp_path)))
    assert drawn.shape == (600, 512, 3)
