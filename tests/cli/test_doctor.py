"""``rlepose doctor``: what it reports, and when it says that training cannot work."""

import argparse
import json
import subprocess
import sys

import pytest
import torch

from rlepose_ext import compat, programs
from rlepose_ext import environment as checks
from rlepose_ext.cli import doctor

GOOD = {
    'python': '3.11.7', 'torch': '2.11.0+cu130', 'torchvision': '0.26.0', 'numpy': '2.2.6',
    'opencv': '4.14.0.94 (opencv-python)', 'mmengine': '0.10.7', 'mmcv': '2.1.0 (mmcv-lite)',
    'mmdet': '3.3.0', 'mmpose': '1.3.2', 'openmim': '0.3.9', 'pycocotools': '2.0.11',
    'setuptools': '81.0.0', 'click': '8.2.1',
}  # fmt: skip


def run(*argv):
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(['doctor', *argv])
    return args.run(args)


def levels(problems, word):
    return {problem.level for problem in problems if word in problem.what}


def test_this_environment_can_train(capsys):
    assert run('--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert report['ok'] is True
    assert not [p for p in report['problems'] if p['level'] == 'error']
    # metadata may lack the build, as in 2.11.0+cu130
    assert torch.__version__.startswith(report['versions']['torch'])
    assert report['devices']['threads'] == torch.get_num_threads()
    assert len(report['devices']['gpus']) == torch.cuda.device_count()
    assert [p['name'] for p in report['patches']] == [p.name for p in compat.PATCHES]
    assert not [p for p in report['patches'] if p['status'].startswith('unknown')]
    assert {f['status'] for f in report['features']} == {'active'}

    assert run() == 0
    text = capsys.readouterr().out
    assert 'Training can work here.' in text
    for patch in compat.PATCHES:
        assert patch.name in text
        assert patch.breaks in text


def test_programs_that_some_commands_use(tmp_path, monkeypatch, capsys):
    for name, encoder in (('ffmpeg', 'mpeg4'), ('npm', '')):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho " V..... {encoder} some encoder"\n')
        program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    assert run('--json') == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)['programs']}
    assert rows['ffmpeg']['status'] == f'{tmp_path}/ffmpeg without libx264'
    assert rows['npm']['status'] == f'{tmp_path}/npm'
    assert rows['ffprobe']['status'] == 'missing'
    assert set(rows) == {'ffmpeg', 'ffprobe', 'npm', 'onnxruntime', 'pillow-heif'}
    better = tmp_path / 'better'
    better.mkdir()
    (better / 'ffmpeg').write_text('#!/bin/sh\necho " V....D libx264 H.264 / AVC"\n')
    (better / 'ffmpeg').chmod(0o755)
    monkeypatch.setenv('PATH', str(better))
    assert programs.report()[0]['status'] == f'{better}/ffmpeg with libx264'
    assert run() == 0
    text = capsys.readouterr().out
    assert f'so {rows["npm"]["lost"]}' in text
    assert rows['ffmpeg']['lost'] not in text


def test_what_is_switched_off_is_said(monkeypatch):
    monkeypatch.setenv('RLEPOSE_PATCHES', '-numpy2, -throughput')
    monkeypatch.setenv('RLEPOSE_CPU_SPEED', 'memory')
    status = {row['name']: row['status'] for row in checks.patches() + checks.features()}
    off = 'switched off (RLEPOSE_PATCHES)'
    assert {name for name, text in status.items() if text == off} == {'numpy2', 'throughput'}
    assert status['cpu_training'] == 'RLEPOSE_CPU_SPEED=memory'


def test_survives_an_environment_without_anything(root):
    # -S: no site-packages, so not one package exists
    code = 'import sys; from rlepose_ext.cli import doctor; import argparse\n'
    code += 'sys.exit(doctor.run(argparse.Namespace(json=True)))'
    process = subprocess.run(
        [sys.executable, '-S', '-c', code], cwd=root, capture_output=True, text=True
    )
    assert process.returncode == 1, process.stderr
    report = json.loads(process.stdout)
    assert report['ok'] is False
    missing = {row for row, version in report['versions'].items() if version is None}
    assert missing == set(checks.PACKAGES)
    said = ' '.join(p['what'] for p in report['problems'] if p['level'] == 'error')
    for name in ('torch', 'mmpose', 'mmcv'):
        assert f'{name} is not installed' in said


@pytest.mark.parametrize(
    ('package', 'version', 'level'),
    [
        ('mmpose', None, 'error'),
        ('torch', '2.5.1', 'error'),
        ('mmcv', '2.2.0', 'error'),
        ('mmcv', '1.7.2', 'error'),
        ('mmengine', '0.10.4', 'error'),
        ('setuptools', '82.0.1', 'warning'),
        ('click', '8.3.1', 'warning'),
        ('setuptools', None, 'warning'),
        ('numpy', '1.25.2', 'warning'),
        ('mmcv', '2.1.0, 2.1.0 (mmcv-lite)', 'error'),
        ('mmengine', '0.10.12 (onedl-mmengine)', 'warning'),
        ('mmengine', '0.10.7, 0.10.12 (onedl-mmengine)', 'error'),
    ],
)
def test_versions_that_do_not_work(package, version, level):
    problems = checks.check_versions({**GOOD, package: version})
    assert levels(problems, package) == {level}
    assert all(problem.remedy for problem in problems)


def test_what_works_has_no_problem():
    assert checks.check_versions(GOOD) == []
    newest = {'torch': '2.14.1', 'torchvision': '0.29.1', 'numpy': '2.4.6', 'openmim': None}
    newest |= {'opencv': '5.0.0.93 (opencv-python-headless)', 'setuptools': '84.2.1', 'click': None}
    assert checks.check_versions({**GOOD, **newest}) == []


def test_new_setuptools_without_its_patch_is_fatal(monkeypatch):
    monkeypatch.setattr(checks, 'PATCHES', ())
    problems = checks.check_versions({**GOOD, 'setuptools': '82.0.0'})
    assert 'error' in levels(problems, 'pkg_resources')


def test_torchvision_of_another_torch(monkeypatch):
    monkeypatch.setattr(checks.metadata, 'requires', lambda name: ['numpy', 'torch==2.11.0'])
    assert checks.check_torch_pair(GOOD) == []
    (problem,) = checks.check_torch_pair({**GOOD, 'torch': '2.10.0'})
    assert problem.level == 'error'
    assert 'built for torch 2.11.0' in problem.what


def test_a_gpu_that_torch_cannot_use(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    monkeypatch.setattr(torch.version, 'hip', None)
    report = {'gpus': [], 'threads': 2}
    for build, remedy in ((None, 'without CUDA'), ('13.0', 'nvidia-smi')):
        monkeypatch.setattr(torch.version, 'cuda', build)
        assert remedy in checks.check_devices(report)[0].remedy
    assert checks.check_devices({**report, 'gpus': [{'name': 'a'}]}) == []
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert checks.check_devices(report) == []


def test_status_1_when_training_cannot_work(monkeypatch, capsys, tmp_path):
    """A package whose import fails, and mmpose installed from source, without its tools."""
    import mmpose

    def fail(name):
        if name == 'torchvision':
            raise RuntimeError('operator torchvision::nms does not exist\nmore')

    monkeypatch.setattr(checks, 'import_module', fail)
    monkeypatch.setattr(mmpose, '__file__', str(tmp_path / '__init__.py'))
    assert run() == 1
    text = capsys.readouterr().out
    assert 'Training cannot work here.' in text
    assert 'train.py and test.py' in text
    assert run('--json') == 1
    found = json.loads(capsys.readouterr().out)['problems']
    (problem,) = [each for each in found if 'nms does not exist' in each['what']]
    assert problem['level'] == 'error'
    assert 'one index' in problem['remedy']


def test_a_patch_that_cannot_tell_its_status_hides_no_other(monkeypatch):
    def fail():
        raise ImportError('no such module')

    broken = compat.Patch('x', 'y', 'z', 'never', install=fail, status=fail)
    fine = compat.Patch('fine', 'y', 'z', 'never', install=fail)
    monkeypatch.setattr(checks, 'PATCHES', (broken, fine))
    assert [row['status'] for row in checks.patches()] == ['unknown: no such module', 'active']
