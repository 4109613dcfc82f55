"""The metafiles are true: one entry for each config, exact sizes, sources, checkable weights."""

import re
from pathlib import PurePosixPath

import pytest
import yaml
from mmengine.config import Config

from rlepose_ext.errors import UserError
from rlepose_ext.zoo import read_zoo
from rlepose_ext.zoo.files import MOVENET, file_named, hash_prefix, of_entry
from rlepose_ext.zoo.measured import MEASUREMENTS, measured_results, rows

ZOO = read_zoo()
each_entry = pytest.mark.parametrize('entry', ZOO, ids=lambda entry: entry.name)


def test_every_config_has_one_entry_and_the_reverse(root):
    leaves = [path for path in root.glob('configs/*/*.py') if path.parent.name != '_base_']
    listed = [entry.config for entry in ZOO]
    assert sorted(listed) == sorted(str(path.relative_to(root)) for path in leaves)
    assert len(set(listed)) == len(listed)


@each_entry
def test_entry(entry, root):
    assert entry.path == root / entry.config
    assert entry.name == PurePosixPath(entry.config).stem
    assert entry.training_data
    assert entry.architecture
    assert entry.readme is None or (root / entry.readme).is_file()
    for result in entry.results:
        assert result.metrics
        assert result.measured or (entry.quoted_from and entry.quoted_from in result.source)
        # AP and its like are fractions, whoever wrote them
        for name, value in result.metrics.items():
            assert 0 < value <= (100 if name.startswith(('NME', 'PCKh', 'MSE', 'EPE')) else 1), name
    if entry.weights:
        assert entry.weights.startswith('https://')
        assert of_entry(entry).sha256 == hash_prefix(of_entry(entry).filename)
        assert entry.weights_license


def test_what_nothing_downloads_is_in_the_manual(root):
    named = [entry.pretrained_file for entry in ZOO if entry.pretrained_file]
    assert len(named) == 29
    manual = (root / 'docs/zoo.md').read_text()
    manual = manual.partition('## Weights that a training starts from')[2]
    ends = ('_backbone.pth', '_gray.pth', 'movenet-lightning.pth')
    for end in ends:
        assert re.search(rf'`(\S*\*)?{end}`', manual)
    assert all(file.endswith(ends) for file in named)


def test_what_is_converted_has_a_name():
    names = {each.converted_from for each in ZOO if each.converted_from}
    assert {file_named(name).name for name in names} == names
    assert {name for name in names if not name.startswith('movenet-')} == {
        'mmpose_clean_rle_mbv2_0.50x_192x192_float'
    }


def test_google_weights_are_those_of_their_configs():
    for entry in ZOO:
        if entry.converted_from in {file.name for file in MOVENET}:
            file = of_entry(entry)
            assert file.name == entry.name
            assert file.filename == f'{entry.converted_from}.pth'


@each_entry
def test_card_and_config_agree(entry):
    """On GPUs and ``--auto-scale-lr``, and on the file that it wants in RLEPOSE_WEIGHTS."""
    gpus, samples = map(int, re.search(r'[_-](\d+)xb(\d+)', entry.name).groups())
    config = Config.fromfile(entry.path)
    assert config.train_dataloader.batch_size == (entry.samples or samples)
    total = gpus * config.train_dataloader.batch_size
    assert config.auto_scale_lr.base_batch_size == (entry.scaled_from or total)
    assert entry.scaled_from != total
    # a leaf's text follows that of its bases
    text = re.sub(r"'\n *'", '', config.text)
    wanted = re.findall(r'RLEPOSE_WEIGHTS:weights\}\}/([\w.-]+)', text)
    assert wanted[-1:] == [entry.pretrained_file] * bool(entry.pretrained_file)


def test_measured_figures_are_those_of_the_json():
    names = {entry.name for entry in ZOO}
    assert {each.config for each in MEASUREMENTS} <= names
    found = measured_results()
    results = found['rle_resnet18-slim_1xb16-6e_synthetic-96x72']
    for row, result in zip(rows('quickstart'), results, strict=True):
        assert result.metrics == {'AP': row['metrics']['coco/AP']}
        assert result.measured
        assert result.runs == 1
    pck = [r['lsp_val_pck']['0.2'] for r in rows('cpu_training_accuracy') if r['name'] == 'ours']
    (result,) = found['rle_mobilenetv2-050_1xb64-20e_lsp-192x192']
    assert result.metrics['PCK@0.2'] == pytest.approx(sum(pck) / len(pck))
    assert result.runs == len(pck) == 2


def test_costs_are_of_these_configs():
    """The benchmark leaves out what it has; so what it has must not be out of date."""
    sizes = {entry.config: entry.params for entry in ZOO}
    for row in rows('zoo_cost'):
        assert row['params'] == sizes[row['config']], row['name']
        assert row['flops'] > 0


ENTRY = {
    'Name': 'a_1xb2_coco-64x64',
    'Config': 'configs/f/a_1xb2_coco-64x64.py',
    'In Collection': 'C',
    'Metadata': {'Architecture': ['A', 'B'], 'Training Data': ['COCO'], 'Parameters': 12},
}


def write(folder, model, **more):
    content = {'Collections': [{'Name': 'C'}], 'Models': [model], **more}
    (folder / 'metafile.yml').write_text(yaml.safe_dump(content))
    (folder / 'model-index.yml').write_text('Import:\n- metafile.yml\n')
    return folder / 'model-index.yml'


def test_the_least_entry(tmp_path):
    (entry,) = read_zoo(write(tmp_path, ENTRY), results=tmp_path)
    assert (entry.name, entry.family, entry.params) == ('a_1xb2_coco-64x64', 'f', 12)
    assert entry.source is None
    assert entry.weights_license is None
    assert entry.cost is None


def test_sources_and_licences_are_those_of_the_metafile(tmp_path):
    """Other tools read the file, not our code."""
    results = [{'Task': 'T', 'Dataset': 'COCO', 'Metrics': {'AP': 0.5}}, {'Dataset': 'X'}]
    model = {**ENTRY, 'Results': results, 'Weights': 'https://example.org/x-01234567.pth'}
    (entry,) = read_zoo(write(tmp_path, model), results=tmp_path)
    assert entry.source == 'quoted, source not named'
    assert entry.weights_license is None
    model['Metadata'] = {**ENTRY['Metadata'], 'Weights License': 'CC-BY-NC-4.0'}
    (entry,) = read_zoo(write(tmp_path, model), results=tmp_path)
    assert entry.weights_license == 'CC-BY-NC-4.0'


@pytest.mark.parametrize(('change', 'said'), [
    ({'Name': None}, "'Name' should be a str"),
    ({'In Collection': 'D'}, r"In Collection is 'D'; the file defines \['C'\]"),
    ({'Metadata': {**ENTRY['Metadata'], 'Parameters': '12'}}, "'Parameters' should be a int"),
    ({'Metadata': {**ENTRY['Metadata'], 'Architecture': 'A'}}, "'Architecture'"),
    ({'Results': [{'Metrics': {'AP': 1}}]}, "'Dataset'"),
])  # fmt: skip
def test_a_bad_entry_is_named(tmp_path, change, said):
    index = write(tmp_path, {**ENTRY, **change})
    with pytest.raises(UserError, match=said) as stop:
        read_zoo(index, results=tmp_path)
    assert 'metafile.yml' in str(stop.value)


def test_a_bad_index(tmp_path):
    bad = {'model-index.yml': 'a: [', 'other.yml': 'Import: 1'}
    for name, text in bad.items():
        (tmp_path / name).write_text(text)
    for name in (*bad, 'none.yml'):
        with pytest.raises(UserError, match=name):
            read_zoo(tmp_path / name, results=tmp_path)
    with pytest.raises(UserError, match='is taken by'):
        read_zoo(write(tmp_path, ENTRY, Models=[ENTRY, ENTRY]), results=tmp_path)
    (tmp_path / 'quickstart.json').write_text('{"rows": [')
    with pytest.raises(UserError, match=r'quickstart\.json'):
        measured_results(tmp_path)
