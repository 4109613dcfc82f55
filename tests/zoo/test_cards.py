"""Names are found, and an entry is told as text, as a command, as JSON."""

import json
import os
from dataclasses import replace

import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.zoo import Entry, cards, find, read_zoo
from rlepose_ext.zoo.lookup import of_family
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


@pytest.mark.parametrize(('name', 'said'), [
    ('rle_mobilenetv2-075', r'stands for \d configs; name one'),
    ('rle_res51_8xb64-210e_coco-256x192', 'Nearest: rle_'),
    ('scnet', 'Nearest: rle_'),
])  # fmt: skip
def test_names_that_are_none(zoo, name, said):
    with pytest.raises(UserError, match=said):
        find(name, zoo)


def test_family(zoo):
    assert {entry.family for entry in of_family('skps', zoo)} == {'skps'}
    with pytest.raises(UserError, match=r"'skp'; there are .*skps"):
        of_family('skp', zoo)


@pytest.mark.parametrize(('name', 'value', 'text'), [
    ('AP', 0.706, 'AP 70.6'),
    ('AP', 0.4881, 'AP 48.81'),
    ('NME', 3.2, 'NME 3.20'),
    ('MSE', 0.00029, 'MSE 0.00029'),
    ('PCKh', 84.25, 'PCKh 84.25'),
    ('PCK@0.2', 0.82125, 'PCK@0.2 82.12'),
])  # fmt: skip
def test_metric_text(name, value, text):
    assert cards.metric_text(name, value) == text


def test_card(entry, zoo, root, monkeypatch):
    monkeypatch.chdir(root)
    text = cards.card(entry)
    for part in (
        '23,647,364',
        '8.008 GFLOPs',
        'AP 70.6, AP@0.5 88.8, AR 75.3 on COCO (quoted: the paper)',
        'PCK@0.2 82.12 on LSP (measured here: x.json, mean of 2 trainings)',
        'MIT (weights)',
        f'mim train mmpose {entry.config}',
        '8 GPUs of 64 samples',
    ):
        assert part in text
    other = cards.card(replace(entry, samples=16, scaled_from=512))
    assert '--auto-scale-lr --cfg-options auto_scale_lr.base_batch_size=128' in other
    single = cards.card(replace(entry, name='a_1xb64_x', results=(), weights=None, cost=None))
    assert not [word for word in ('GPUs', 'GFLOPs', 'it needs', 'chain') if word in single]
    start = cards.card(find('rle_mobilenetv2-050_1xb256-420e_aic-coco-192x192', zoo))
    for part in ('mobilenetv2-050_udp_aic-coco_backbone.pth', 'rlepose chain rle-050'):
        assert part in start


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


def test_a_card_of_google_weights_has_their_licence(zoo):
    text = cards.card(find('movenet_thunder', zoo))
    assert 'Apache-2.0' in text
    assert '"$(rlepose weights movenet_thunder_8xb64-120e_coco-256x256)"' in text
    assert 'rlepose convert' not in text
