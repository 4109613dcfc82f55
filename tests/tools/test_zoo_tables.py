"""Tables of the zoo show what the metafiles and the JSON files say."""

import json

import pytest

import doc_tables.common
from doc_tables import TABLES, configs
from rlepose_ext.zoo import read_zoo
from rlepose_ext.zoo.files import EXTRA


def test_every_config_is_in_the_table():
    text = TABLES['zoo']()
    for entry in read_zoo():
        assert f'| [{entry.name}](../{entry.config}) |' in text
    assert '[measured here](../benchmarks/results/quickstart.' in text
    assert text.startswith(f'{len(read_zoo())} configs.')


def test_costs_appear_once_they_are_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(doc_tables.common, 'RESULTS', tmp_path)
    assert 'not measured yet' in TABLES['zoo']()
    row = {
        'config': 'configs/rle/rle_alexnet_8xb64-210e_coco-256x192.py',
        'flops': 1_230_000_000,
        'milliseconds': {'median': 45.6},
    }
    content = {'command': 'python benchmarks/zoo_cost.py', 'rows': [row]}
    (tmp_path / 'zoo_cost.json').write_text(json.dumps(content))
    text = TABLES['zoo']()
    assert '| COCO | - | - | 2,487,172 | 1.23 | 46 | - |' in text
    assert 'Measured by this project: `python benchmarks/zoo_cost.py`' in text


def test_files_and_families(root):
    assert all(f'`{file.name}`' in TABLES['weights_files']() for file in EXTRA)
    for path in root.glob('configs/*/metafile.yml'):
        family = path.parent.name
        assert family in configs.BY_HAND or f'{family}_configs' in TABLES


@pytest.mark.parametrize(('results', 'text'), [
    ({}, '-'),
    ({'COCO': {}}, '-'),
    ({'COCO': {'AP': 0.706, 'AP@0.5': 0.8}}, 'AP 70.6'),
    ({'COCO': {'AP': 0.7}, 'OCHuman': {'AP': 0.6}}, 'AP 70; AP 60 on OCHuman'),
    ({'COCO': {'PCKh@0.5': 0.9}}, 'PCKh@0.5 90'),
])  # fmt: skip
def test_a_family_table_names_other_data_sets(monkeypatch, results, text):
    metadata = {'Architecture': ['A'], 'Training Data': ['COCO'], 'Parameters': 1}
    results = [{'Dataset': name, 'Metrics': metrics} for name, metrics in results.items()]
    model = {'Name': 'a_1xb2_coco-640', 'Metadata': metadata, 'Results': results or None}
    monkeypatch.setattr(configs, 'models', lambda family: [model])
    row = configs.family_configs('f')().splitlines()[-1]
    assert row == f'| [a](a_1xb2_coco-640.py) | A | COCO 640 | 1 | {text} | - | - |'
