"""``rlepose curves``: its arguments, its picture, and status 2 for what it cannot read."""

import json

import pytest

from rlepose_ext.cli.main import main


@pytest.fixture
def run_folder(tmp_path):
    log = tmp_path / 'run/20260101_000000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    rows = [{'loss': 1 / s, 'acc_pose': 0.1, 'epoch': s, 'iter': s, 'step': s} for s in (1, 2, 3)]
    rows.append({'coco/AP': 0.25, 'time': 0.1, 'step': 3})
    log.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return tmp_path / 'run'


def test_draws_and_says_what_it_drew(run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['curves', str(run_folder)]) == 0
    assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')
    said = capsys.readouterr().out
    assert 'coco/AP: 0.25 at epoch 3, best 0.25 at 3' in said
    assert 'acc_pose' in said
    # several runs, and chosen metrics
    out = tmp_path / 'a.svg'
    folders = [str(run_folder), str(run_folder / '20260101_000000')]
    assert main(['curves', *folders, '--out', str(out), '--metric', 'coco/AP', 'loss']) == 0
    assert '<svg' in out.read_text()
    said = capsys.readouterr().out
    assert 'acc_pose' not in said
    assert said.count('coco/AP') == 2


@pytest.mark.parametrize(('arguments', 'message'), [
    (['nowhere'], 'nowhere is not a folder'),
    (['.'], 'expected logs'),
    (['run', '--metric', 'mAP'], 'no run has the metric mAP; there are acc_pose, coco/AP'),
    (['run', '--out', 'curves.xlsx'], 'ends in .png'),
])  # fmt: skip
def test_what_cannot_be_drawn_ends_with_status_2(
    run_folder, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert main(['curves', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('rlepose: error: ')
    assert message in error
    assert not (tmp_path / 'curves.png').exists()
