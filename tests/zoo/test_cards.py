"""Names are found, and an entry is told as text, as a command, as JSON."""

import json
import os
from dataclasses import replace

import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.zoo import Entry, cards, find, read_zoo
from rlepose_ext.zoo.lookup import nearest, of_family, short_name
from rlepose_ext.zoo.measured import Cost, Result

LONG = 'rle_res50_8xb64-210e_coco-256x192'


@pytest.fixture(scope='module')
def zoo():
    return read_zoo()


@pytest.fixture
def entry():
    return Entry(
        'a_8xb64-210e_coco-256x192',
        'configs/rle/rle_res50_8xb64-210e_coco-256x192.py',
        'rle',
        'RLE',
        23_647_364,
        architecture=('RLE', 'ResNet'),
        training_data=('COCO', 'AIC'),
        paper=('A title', 'https://arxiv.org/abs/1'),
        cost=Cost(8_008_000_000, 61.26),
        results=(
            Result('COCO', {'AP': 0.706, 'AP@0.5': 0.888, 'AR': 0.753}, 'quoted: the paper'),
            Result('LSP', {'PCK@0.2': 0.82125}, 'measured here: x.json', runs=2),
        ),
        weights='https://example.org/x-01234567.pth',
        weights_license='MIT',
    )


def test_find(zoo):
    assert find(LONG, zoo).name == LONG
    assert find(f'configs/rle/{LONG}.py', zoo).name == LONG
    assert find('rle_scnet50', zoo).name == 'rle_scnet50_8xb64-210e_coco-256x192'
    assert find(LONG).params == 23_647_364


def test_a_path_is_that_of_the_config(zoo, root, tmp_path, monkeypatch):
    path = f'configs/rle/{LONG}.py'
    monkeypatch.chdir(root / 'docs')
    for name in (path, f'./{path}', f'../{path}', str(root / path)):
        assert find(name, zoo).name == LONG
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf'elsewhere/{LONG}\.py does not exist; .*is {path}'):
        find(f'./elsewhere/{LONG}.py', zoo)
    with pytest.raises(UserError, match=r'rle/none\.py does not exist\. `rlepose zoo`'):
        find('configs/rle/none.py', zoo)
    os.makedirs('configs/rle')
    (tmp_path / path).write_text('')
    with pytest.raises(UserError, match='is no config of the zoo; the one of that name'):
        find(path, zoo)


def test_a_short_name_of_several(zoo):
    with pytest.raises(UserError, match=r"'rle_mobilenetv2-075' stands for \d configs; name one"):
        find('rle_mobilenetv2-075', zoo)


@pytest.mark.parametrize('name', ['rle_res51_8xb64-210e_coco-256x192', LONG.upper(), 'scnet'])
def test_unknown_names_get_near_ones(zoo, name):
    with pytest.raises(UserError, match=r'no config of the zoo.*Nearest: rle_') as stop:
        find(name, zoo)
    assert '`rlepose zoo`' in str(stop.value)


def test_planned_ones_are_called_planned(zoo):
    with pytest.raises(UserError, match='TokenPose is planned'):
        find('tokenpose-s', zoo)


def test_nothing_near():
    assert nearest('', []) == '`rlepose zoo` lists them all.'


def test_short_name():
    assert short_name(LONG) == 'rle_res50'
    assert short_name('td-hm_hrnetv2-w18_skps-1xb64-80e_wflw-256x256') == 'td-hm_hrnetv2-w18_skps'
    assert short_name('none') == 'none'


def test_family(zoo):
    assert {entry.family for entry in of_family('skps', zoo)} == {'skps'}
    with pytest.raises(UserError, match=r"'skp'; there are .*skps"):
        of_family('skp', zoo)


@pytest.mark.parametrize(
    ('name', 'value', 'text'),
    [
        ('AP', 0.706, 'AP 70.6'),
        ('AP', 0.4881, 'AP 48.81'),
        ('NME', 3.2, 'NME 3.20'),
        ('MSE', 0.00029, 'MSE 0.00029'),
        ('PCKh', 84.25, 'PCKh 84.25'),
        ('PCK@0.2', 0.82125, 'PCK@0.2 82.12'),
    ],
)
def test_metric_text(name, value, text):
    assert cards.metric_text(name, value) == text


def test_headline():
    assert cards.headline({'AP': 0.5, 'AP@0.5': 0.9, 'AP (M)': 0.4}) == 'AP 50'
    assert cards.headline({'PCKh@0.5': 0.9, 'PCKh@0.1': 0.3}) == 'PCKh@0.5 90'


def test_card(entry, root, monkeypatch):
    monkeypatch.chdir(root)
    text = cards.card(entry)
    for line in (
        'a_8xb64-210e_coco-256x192',
        'paper       A title https://arxiv.org/abs/1',
        'trained on  COCO + AIC',
        'parameters  23,647,364 at inference',
        'operations  8.008 GFLOPs, 4.004 G multiply-adds',
        'CPU         61.26 ms a picture, one thread',
        'result      AP 70.6, AP@0.5 88.8, AR 75.3 on COCO (quoted: the paper)',
        'result      PCK@0.2 82.12 on LSP (measured here: x.json, mean of 2 trainings)',
        'licence     MIT (weights)',
        f'train       mim train mmpose {entry.config}',
    ):
        assert line in text.splitlines()
    assert '8 GPUs of 64 samples' in text
    assert 'starts from' not in text
    other = cards.card(replace(entry, samples=16, scaled_from=512))
    assert '8 GPUs of 16 samples' in other
    assert '--auto-scale-lr --cfg-options auto_scale_lr.base_batch_size=128' in other
    single = cards.card(replace(entry, name='a_1xb64_x', results=(), weights=None, cost=None))
    assert 'GPUs' not in single
    assert 'GFLOPs' not in single
    assert 'none published, none measured here' in single
    assert 'none published for this config' in single


def test_card_of_a_config_that_starts_from_a_file(zoo):
    stem = 'rle_mobilenetv2-050_1xb256-420e_aic-coco-192x192'
    lines = [line.strip() for line in cards.card(find(stem, zoo)).splitlines()]
    file = 'mobilenetv2-050_udp_aic-coco_backbone.pth'
    assert any(line.startswith(f'it needs {file} in RLEPOSE_WEIGHTS') for line in lines)
    assert 'rlepose chain rle-050, with the stages before it' in lines
    command = (
        'rlepose convert mmpose-clean '
        '"$(rlepose weights mmpose_clean_rle_mbv2_0.50x_192x192_float)"'
    )
    assert any(command in line for line in lines)
    plain = cards.card(find(LONG, zoo))
    assert not [word for word in ('it needs', 'chain', 'converted') if word in plain]


def test_commands(entry, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    assert cards.training_command(entry) == f'mim train mmpose {entry.config}'
    assert cards.testing_command(entry) == (
        f'mim test mmpose {entry.config} -C "$(rlepose weights {entry.name})"'
    )
    assert cards.testing_command(replace(entry, weights=None)).endswith('.py -C CHECKPOINT')
    # elsewhere mim would take mmpose's file of that name, or none
    monkeypatch.chdir(tmp_path)
    assert cards.training_command(entry) == f'mim train mmpose {root / entry.config}'
    # and a file of that path which is another one is not ours
    os.makedirs('configs/rle')
    (tmp_path / entry.config).write_text('')
    assert cards.training_command(entry) == f'mim train mmpose {root / entry.config}'


def test_json(entry):
    content = json.loads(json.dumps(cards.as_json(entry)))
    assert content['params'] == 23_647_364
    assert content['flops'] == 8_008_000_000
    assert content['cpu_latency_ms'] == 61.26
    assert content['source'] == 'quoted: the paper; measured here: x.json'
    assert [result['measured'] for result in content['results']] == [False, True]
    assert content['results'][0]['metrics']['AR'] == 0.753
    assert content['paper'] == 'https://arxiv.org/abs/1'
    assert cards.as_json(replace(entry, cost=None, paper=None))['flops'] is None


def test_documented_keys(entry, root):
    text = (root / 'docs' / 'zoo.md').read_text()
    table = text.partition('| key | what |')[2].partition('\n\n')[0]
    documented = {word for line in table.splitlines() for word in line.split('|')[1:2]}
    names = {
        name for cell in documented for name in cell.replace('`', ' ').replace(',', ' ').split()
    }
    assert names - {'---'} == set(cards.as_json(entry))
