"""What benchmarks share: taking turns, medians, and a file that says how it was made."""

import datetime
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


def test_summary_and_ratios(module):
    assert module.summary([2.0]) == {'median': 2.0, 'q25': 2.0, 'q75': 2.0}
    assert module.summary([5.0, 1.0, 2.0, 4.0, 3.0]) == {'median': 3.0, 'q25': 2.0, 'q75': 4.0}
    assert module.ratios({'peer': [4.0, 9.0], 'ours': [2.0, 3.0]}, 'peer', 'ours') == [2.0, 3.0]


def test_record_says_how(module, tmp_path, monkeypatch, root):
    script = root / 'benchmarks' / 'some.py'
    monkeypatch.setattr(sys, 'argv', [str(script), '--repeats', '3', '--work-dir', str(tmp_path)])
    path = tmp_path / 'results' / 'some.json'
    written = module.record(path, [{'value': 1}], code=['rlepose_ext/models'], seed=7, peer='x')
    assert json.loads(path.read_text()) == written
    command = f'python benchmarks/some.py --repeats 3 --work-dir {tmp_path.name}'
    assert written['command'] == command
    assert (written['seed'], written['peer'], written['repeats']) == (7, 'x', 1)
    assert written['code'] == ['benchmarks/some.py', 'rlepose_ext/models']
    assert datetime.date.fromisoformat(written['date'])
    assert written['rows'] == [{'value': 1}]
    assert written['versions']['torch']
    assert {'cpu', 'cpu_family', 'cpu_flags', 'cores', 'threads'} <= set(written['machine'])
    assert {'commit', 'date', 'machine'} == set(module.origin())


XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Processor @ 2.10GHz
stepping\t: 8
flags\t\t: fpu avx2 avx512f amx_bf16 amx_tile

processor\t: 1
model\t\t: 144
"""
ARM = 'processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd sve\n'


def test_the_processor_is_told_by_more_than_its_name(module, tmp_path, monkeypatch):
    import _machine

    info = tmp_path / 'cpuinfo'
    info.write_text(ARM)
    arm = _machine.cpu(info)
    assert (arm['cpu_family'], arm['cpu_flags']) == (None, ['asimd', 'sve'])
    assert arm['cpu']
    info.write_text(XEON)
    xeon = _machine.cpu(info)
    assert xeon['cpu'] == 'Intel(R) Xeon(R) Processor @ 2.10GHz'
    assert (xeon['cpu_family'], xeon['cpu_model'], xeon['cpu_stepping']) == (6, 143, 8)
    assert xeon['cpu_flags'] == ['avx2', 'avx512f', 'amx_tile', 'amx_bf16']

    monkeypatch.setattr(_machine, 'cpu', lambda: xeon)
    monkeypatch.setattr(_machine, 'CORES', 16)
    monkeypatch.setattr(_machine, 'gpu', lambda: None)
    path = module.result_path('rle_loss')
    assert path.name == 'rle_loss.intel-xeon-family6-model143-16cores.json'
    monkeypatch.setattr(_machine, 'gpu', lambda: 'NVIDIA H200')
    assert _machine.kind() == 'intel-xeon-family6-model143-16cores-nvidia-h200'
