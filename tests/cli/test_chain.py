"""``rlepose chain``: its command line and the shipped chains; trainings are in tests/configs."""

import os
import shlex

import pytest
from mmengine.config import Config

from rlepose_ext.chain.table import read_chains
from rlepose_ext.cli import main


@pytest.fixture(autouse=True)
def _started_by_nobody(monkeypatch):
    """As on a machine without Slurm and torchrun, whatever started these tests."""
    for name in os.environ:
        if name.startswith(('SLURM_', 'TORCHELASTIC_')) or name in ('LOCAL_RANK', 'WORLD_SIZE'):
            monkeypatch.delenv(name)
    monkeypatch.delenv('RLEPOSE_WEIGHTS', raising=False)


RANDOM = ['--cfg-options', 'model.backbone.init_cfg=None']


@pytest.mark.parametrize('name', read_chains())
def test_shipped_chains_make_sense(name, capsys, tmp_path, root):
    assert main.main(['chain', name, '--dry-run', '--work-dir', str(tmp_path), *RANDOM]) == 0
    output = capsys.readouterr().out
    chain = read_chains()[name]
    assert output.count('  rlepose train ') == len(chain.stages) >= 2
    backbones = []
    for stage in chain.stages:
        assert stage.config.is_relative_to(root / 'configs')
        backbone = Config.fromfile(stage.config).model.backbone
        backbones.append((backbone.type, backbone.widen_factor))
        # whoever trains a stage alone gets the same weights by name
        assert stage.takes is None or backbone.init_cfg.prefix == 'backbone.'
    assert len(set(backbones)) == 1


@pytest.mark.parametrize(('arguments', 'message'), [
    (['no-such-chain'], 'There are: rle-050'),
    (['rle-050', '--gpus', '2'], '--launcher pytorch'),
    (['rle-050', '--partition', 'gpu'], 'without --launcher slurm'),
    (['rle-050', '--dry-run'], 'model.backbone.init_cfg=None'),
    (['rle-050', '--dry-run', '--cfg-options', 'a'], '--cfg-options a cannot be read'),
    (['rle-050', '--file', 'nowhere.yml'], 'nowhere.yml'),
])  # fmt: skip
def test_mistakes_end_with_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.main(['chain', *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_of_the_launcher_are_handed_on(capsys, tmp_path):
    options = ['--launcher', 'slurm', '--gpus', '4', '--srun-args', '--exclusive -t 1', '--amp']
    folder = ['--work-dir', str(tmp_path)]
    assert main.main(['chain', 'rle-050', *options, '--dry-run', *folder, *RANDOM]) == 0
    trainings = [line for line in capsys.readouterr().out.splitlines() if 'rlepose train' in line]
    for line in trainings:
        words = shlex.split(line)
        assert {'slurm', '--gpus=4', '--srun-args=--exclusive -t 1', '--amp'} <= set(words)


def test_several_processes_are_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in (('STEP_ID', '0'), ('PROCID', '1'), ('NTASKS', '2')):
        monkeypatch.setenv(f'SLURM_{name}', value)
    assert main.main(['chain', 'rle-050', '--launcher', 'slurm', *RANDOM]) == 2
    assert 'start `rlepose chain` once' in capsys.readouterr().err
    assert main.main(['chain', 'rle-050', *RANDOM]) == 2
    assert list(tmp_path.iterdir()) == []


def test_every_chain_is_named(root, capsys):
    assert main.main(['chain', '--list']) == 0
    listed = capsys.readouterr().out
    for chain in read_chains().values():
        assert f'{chain.name}: {chain.about}' in listed
        for document in ('docs/chain.md', 'configs/heatmap_pretrain/README.md'):
            assert f'`{chain.name}`' in (root / document).read_text(), document
