"""Every config loads, builds, finds its data, and is found under its own name."""

import ast
import inspect
import json
import math
from functools import cache
from pathlib import Path

import matrix
import mmpose
import pytest
import yaml
from _miniature import ITERATIONS
from config_case import plain
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmpose.registry import DATASETS, HOOKS, METRICS, TRANSFORMS

from rlepose_ext import registry
from rlepose_ext.data_paths import move_data
from rlepose_ext.models.input_size import dicts

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
MMPOSE = Path(mmpose.__file__).parent / '.mim' / 'configs'
# Families that are part of the zoo; quickstart is an exercise.
FAMILIES = sorted({path.parent.name for path in CONFIGS.glob('*/*.py')} - {'_base_', 'quickstart'})
EVERY = sorted(CONFIGS.rglob('*.py'))
LEAVES = [path for path in sorted(CONFIGS.glob('*/*.py')) if path.parent.name != '_base_']
METHODS = sorted(CONFIGS.glob('*/_base_/*.py'))
OUR_REGISTRIES = [r for r in vars(registry).values() if isinstance(r, Registry)]
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
DATA = (*LOADERS, 'val_evaluator', 'test_evaluator')
# What MMEngine reads, and the variables that MMPose's configs have too.
KEYS = {
    *inspect.signature(Runner.__init__).parameters, 'custom_imports', 'find_unused_parameters',
    'codec', 'data_mode', 'data_root', 'dataset_type', 'metainfo', 'train_pipeline',
    'train_pipeline_stage2', 'val_pipeline', 'vis_backends',
}  # fmt: skip


def name(path):
    return str(path.relative_to(CONFIGS).with_suffix(''))


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=name)


def bases_of(path):
    """What a config's own ``_base_`` says, as a list."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            bases = ast.literal_eval(node.value)
            return [bases] if isinstance(bases, str) else list(bases)
    return []


def stock_base(path):
    """The config of MMPose that a leaf builds on, or None if all is our own."""
    for base in bases_of(path):
        return base if base.startswith('mmpose::') else stock_base(path.parent / base)
    return None


def values(node, key=None):
    """Every (key, value) of a nested config that is neither dict nor list."""
    if isinstance(node, dict):
        for k, v in node.items():
            yield from values(v, k)
    elif isinstance(node, (list, tuple)):
        for v in node:
            yield from values(v, key)
    else:
        yield key, node


@cache
def read(path):
    """A config that nobody changes."""
    return Config.fromfile(path)


@cache
def names_in_mmpose():
    return {path.name for path in MMPOSE.parent.rglob('*.py')}


def types_of(config):
    return {value for key, value in values(config) if key == 'type'}


@each(EVERY)
def test_name_is_not_in_mmpose(path):
    # mim looks a path that does not exist up by its base name inside mmpose.
    assert len(names_in_mmpose()) > 300
    assert path.name not in names_in_mmpose()
    assert [other.name for other in EVERY].count(path.name) == 1


@each(LEAVES)
def test_leaf_is_short_and_has_one_base_and_three_files_at_most(path):
    assert len(path.read_text().splitlines()) <= 30
    assert len(bases_of(path)) == 1
    assert depth(path) <= 3


def depth(path):
    """Files from a config to the end of its chain; one of MMPose's counts as one."""
    bases = bases_of(path)
    return 1 + max(
        (1 if base.startswith('mmpose::') else depth(path.parent / base) for base in bases),
        default=0,
    )


@each(METHODS)
def test_a_method_has_runtime_data_and_perhaps_a_schedule(path):
    runtime, *others = (path.parent / base for base in bases_of(path))
    assert runtime.resolve() == CONFIGS / '_base_/runtime.py'
    folders = [base.resolve().parent.relative_to(CONFIGS).as_posix() for base in others]
    assert folders in (['_base_/datasets'], ['_base_/datasets', '_base_/schedules'])
    assert [bases_of(base) for base in (runtime, *others)] == [[]] * (1 + len(others))


@each(LEAVES)
def test_no_helper_becomes_a_key(path):
    base = stock_base(path)
    theirs = read(MMPOSE / base.removeprefix('mmpose::')) if base else {}
    assert set(read(path)) - set(theirs) <= KEYS


@each(EVERY)
def test_our_types_have_the_prefix(path):
    for r in OUR_REGISTRIES:
        r.import_from_location()
    ours = {key for r in OUR_REGISTRIES for key in r.module_dict}
    assert {'RLEHead', 'RLELoss', 'RandomErase', 'PipelineSwitchHook'} <= ours
    types = types_of(read(path))
    base = stock_base(path)
    # MMPose's own config means MMPose's class.
    meant = types_of(read(MMPOSE / base.removeprefix('mmpose::'))) if base else set()
    assert not (types - meant) & ours
    prefixed = {t.split('.')[1] for t in types if str(t).startswith('rlepose_ext.')}
    assert prefixed <= ours


@each(LEAVES)
def test_everything_in_it_can_be_found(path):
    config = read(path)
    assert 'rlepose_ext' in config.custom_imports['imports']
    assert 'SyncBuffersHook' in [hook.type for hook in config.custom_hooks]
    for split in LOADERS:
        for part in dicts(config[split].dataset):
            for transform in part.get('pipeline', []):
                TRANSFORMS.build(transform)
            if 'ann_file' in part or 'datasets' in part:
                assert DATASETS.get(part.type) is not None, part.type
    for hook in config.get('custom_hooks', []):
        # the priority is the Runner's, not the hook's
        HOOKS.build({key: value for key, value in hook.items() if key != 'priority'})
    for evaluators in (config.val_evaluator, config.test_evaluator):
        for metric in evaluators if isinstance(evaluators, list) else [evaluators]:
            assert METRICS.get(metric.type) is not None, metric.type


# All configs find their data by it in test_matrix.py.
FIRST = {path.parent: path for path in reversed(LEAVES) if path.parent.name != 'quickstart'}


@each(
    [
        path if path in FIRST.values() else pytest.param(path, marks=pytest.mark.slow)
        for path in LEAVES
        if path.parent.name != 'quickstart'
    ]
)
def test_one_variable_moves_all_data(path, monkeypatch):
    monkeypatch.setenv('RLEPOSE_DATA', '/elsewhere/data')
    config = Config.fromfile(path)
    if stock_base(path):
        # As the Runner does; MMPose's variables beside the loaders stay, nobody reads them.
        config = move_data(config, '/elsewhere/data')
        node = {key: config[key] for key in DATA}
    else:
        node = config._cfg_dict
    found = 0
    for part in dicts(node):
        rooted = 'data_root' in part
        for key in ('data_root', 'ann_file', 'bbox_file', 'headbox_file'):
            if part.get(key) and not (key == 'ann_file' and rooted):
                assert part[key].startswith('/elsewhere/data/'), (key, part[key])
                found += 1
        if rooted and 'ann_file' in part:
            assert not part['ann_file'].startswith(('/', 'data/')), part['ann_file']
            assert not part['data_prefix']['img'].startswith(('/', 'data/'))
    for part in dicts([config.get(loader) for loader in LOADERS]):
        if 'type' in part and 'ann_file' in part:
            assert 'data_root' in part, 'a data set without data_root'
    for key, value in values(node):
        if isinstance(value, str) and key not in ('checkpoint', 'from_file'):
            assert not value.startswith('data/'), (key, value)
    assert found >= 4


@pytest.mark.parametrize('family', FAMILIES)
def test_documents_name_every_config(family):
    folder = CONFIGS / family
    readme = (folder / 'README.md').read_text()
    metafile = yaml.safe_load((folder / 'metafile.yml').read_text())
    listed = {model['Config'] for model in metafile['Models']}
    assert listed == {f'configs/{family}/{path.name}' for path in folder.glob('*.py')}
    collections = {collection['Name'] for collection in metafile['Collections']}
    for model in metafile['Models']:
        assert model['In Collection'] in collections
        assert model['Name'] == Path(model['Config']).stem
        assert f'{model["Metadata"]["Parameters"]:,}' in readme
    for path in folder.glob('*.py'):
        assert f'({path.name})' in readme, path.name
    imports = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert f'configs/{family}/metafile.yml' in imports


@each([path for path in LEAVES if path.parent.name not in ('dekr', 'yoloxpose')])
def test_sizes_are_those_of_the_name_everywhere(path):
    config = read(path)
    codec = plain(config.codec)
    height, width = map(int, path.stem.rpartition('-')[2].split('x'))
    assert codec['input_size'] == [width, height]
    assert plain(config.model.head.decoder) == codec
    if 'input_size' in config.model.head:
        assert list(config.model.head.input_size) == [width, height]
    pipelines = [config[loader].dataset.pipeline for loader in LOADERS]
    pipelines += [h.switch_pipeline for h in config.custom_hooks if 'PipelineSwitch' in h.type]
    for step in (step for pipeline in pipelines for step in pipeline):
        if step.type == 'TopdownAffine':
            assert list(step.input_size) == [width, height]
        if step.type == 'GenerateTarget':
            assert plain(step.encoder) == codec


@pytest.mark.parametrize('family', FAMILIES)
def test_files_say_their_quoted_figure(family):
    metafile = yaml.safe_load((CONFIGS / family / 'metafile.yml').read_text())
    for model in metafile['Models']:
        text = (ROOT / model['Config']).read_text()
        assert 'Results' not in model or model['Metadata']['Quoted From'], model['Name']
        for metric, value in model.get('Results', [{'Metrics': {}}])[0]['Metrics'].items():
            if metric == 'AP':
                assert any(
                    figure in text for figure in (f'{100 * value:.1f}', f'{100 * value:.2f}')
                )


# A test at three or five scales takes half an hour and more at full size on two cores;
# test_matrix.py and test_matrix_stock.py run these at the small one.
TOO_LONG = {
    'adaptivepose-multiscale_hrnet-w32_8xb8-280e_coco-512x512',
    'adaptivepose-multiscale_hrnet-w48_8xb8-280e_coco-640x640',
    'adaptivepose-multiscale_hrnet-w48_8xb8-280e_crowdpose-640x640',
    'dekr-rescore-multiscale_hrnet-w32_8xb10-140e_coco-512x512',
    'dekr-rescore-multiscale_hrnet-w48_8xb10-140e_coco-640x640',
}


def test_every_config_has_been_run():
    leaves = matrix.leaves()
    content = json.loads(matrix.RESULT.read_text())
    assert content['size'] == 'full'
    rows = {row['name']: row for row in content['rows']}
    assert sorted(set(leaves) - set(rows) - TOO_LONG) == [], 'run `make matrix`'
    assert sorted(set(rows) - set(leaves)) == [], 'no such configs any more; run `make matrix`'
    for name, row in rows.items():
        assert (name, row['status'], row['problems']) == (name, 'ok', [])
        assert row['iterations'] == ITERATIONS == len(row['losses'])
        assert all(map(math.isfinite, row['losses']))
        assert row['parameters'] == matrix.listed_parameters(leaves[name])
        assert row['digest'] == matrix.digest(leaves[name]), f'{name} has changed; `make matrix`'
