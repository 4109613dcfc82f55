"""``rlepose zoo``, ``params`` and ``weights``: what they print, and status 2."""

import json
import subprocess
import sys

import pytest

from rlepose_ext.cli.main import main
from rlepose_ext.zoo import read_zoo

NAME = 'rle_res50_8xb64-210e_coco-256x192'
SLIM = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'


@pytest.fixture(autouse=True)
def here(root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    monkeypatch.setenv('RLEPOSE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('RLEPOSE_MIRROR', raising=False)


def test_list(capsys):
    assert main(['zoo']) == 0
    said = capsys.readouterr().out
    for entry in read_zoo():
        assert entry.name in said
    (line,) = [line for line in said.splitlines() if f' {NAME} ' in line]
    assert ' '.join(line.split()[1:]) == '23.65 M weights AP 70.6, AR 75.3 on COCO (quoted)'
    (line,) = [line for line in said.splitlines() if 'rle_resnet18-slim' in line]
    assert 'quoted' not in line
    assert main(['zoo', '--family', 'quickstart']) == 0
    assert 'quickstart (2)' in capsys.readouterr().out


def test_json(capsys, root):
    assert main(['zoo', '--json']) == 0
    content = json.loads(capsys.readouterr().out)
    assert [each['name'] for each in content] == [entry.name for entry in read_zoo()]
    asked = {'name', 'config', 'family', 'params', 'flops', 'cpu_latency_ms', 'training_data',
             'results', 'source', 'weights', 'weights_license', 'train', 'test'}  # fmt: skip
    for each in content:
        assert asked <= set(each)
        assert (root / each['config']).is_file()
        assert each['train'] == f'mim train mmpose {each["config"]}'


def test_card_and_commands(capsys):
    assert main(['zoo', NAME]) == 0
    assert '23,647,364 at inference' in capsys.readouterr().out
    assert main(['zoo', NAME, '--train']) == 0
    assert capsys.readouterr().out == f'mim train mmpose configs/rle/{NAME}.py\n'
    assert main(['zoo', NAME, '--test']) == 0
    command = f'mim test mmpose configs/rle/{NAME}.py -C "$(rlepose weights {NAME})"\n'
    assert capsys.readouterr() == (command, '')
    assert main(['zoo', 'rle_scnet50', '--test']) == 0
    assert 'no weights are published' in capsys.readouterr().err
    foreign = 'rle_mobilenetv2-050_1xb256-420e_coco-192x192'
    assert main(['zoo', foreign, '--train']) == 0
    said = capsys.readouterr()
    assert said.out == f'mim train mmpose configs/rle/{foreign}.py\n'
    assert said.err.startswith('it needs mobilenetv2-050_udp_aic-coco_backbone.pth in RLEPOSE_W')
    assert main(['zoo', foreign, '--test']) == 0
    assert 'rlepose convert mmpose-clean' in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'message'), [
    (['zoo', 'rle_res5'], 'Nearest: rle_res50'),
    (['zoo', '--family', 'none'], 'there are'),
    (['zoo', '--train'], '--train and --test need the NAME'),
    (['params', 'none.py'], 'no config of the zoo'),
    (['params', f'./elsewhere/{SLIM}'], f'does not exist; the one of that name is {SLIM}'),
    (['params', 'README.md'], 'cannot be read as a config'),
    (['weights', 'none'], 'no weights are called'),
    (['weights', 'rle_scnet50'], 'no weights are published'),
    (['weights', 'mmpose_clean_rle_mbv2_0.50x_192x192_float'], 'RLEPOSE_MIRROR'),
])  # fmt: skip
def test_mistakes_end_with_status_2(capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith('rlepose: error: ')
    assert message in error


def test_params(capsys):
    assert main(['params', SLIM]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said == [
        ['backbone', '702,096'],
        ['head', '261,188'],
        ['in', 'all', '963,284'],
        ['training', 'only', '53,784', '(not', 'counted)'],
    ]
    assert main(['params', SLIM, '--flops', '--json']) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == {
        'params': 963_284,
        'parts': {'backbone': 702_096, 'head': 261_188},
        'training_only': 53_784,
        'flops': 63_012_864,
    }


def test_weights(capsys, shared, monkeypatch, tmp_path):
    name = 'mmpose_clean_rle_mbv2_0.50x_192x192_float'
    monkeypatch.setenv('RLEPOSE_MIRROR', str(shared / 'weights'))
    assert main(['weights', name]) == 0
    path = tmp_path / 'cache' / f'{name}.pth'
    assert capsys.readouterr().out == f'{path}\n'
    assert path.is_file()
    assert main(['weights']) == 0
    said = capsys.readouterr().out
    assert said.count('in the cache') == 1
    assert NAME in said
    assert main(['weights', '--json']) == 0
    files = {each['name']: each for each in json.loads(capsys.readouterr().out)}
    assert files[name]['path'] == str(path)
    assert files[NAME]['path'] is None
    assert files[NAME]['url'].endswith('-d37efd64_20220913.pth')


def test_asking_does_not_load_torch(root):
    code = 'import sys; from rlepose_ext.cli.main import main; '
    code += "main(['zoo', '--json']); main(['weights']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
