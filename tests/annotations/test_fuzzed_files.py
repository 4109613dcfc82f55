"""Files with one thing changed at random: a result or one error, never another exception."""

import copy
import json
import random
import re
import warnings
from functools import partial

import pytest

from rlepose_ext.annotations import sources
from rlepose_ext.annotations.metainfo import read_config
from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError

VALUES = (
    None, 'text', '5', '', True, 0, 7, -1, 2.5, 1e308, -1e300, 10**30, 10**400, float('nan'),
    float('inf'), [], [1, 2], [[1, 2, 3]], {},
)  # fmt: skip
TRIALS = 60


def places(node, path=()):
    """Paths of all that lies below a node."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def changed(content, generator):
    """A copy with one value replaced, deleted or doubled, and what was done.

    The kind of place is drawn first, so that the few ids are met as often as the many joints.
    """
    content = copy.deepcopy(content)
    kinds = {}
    for path in places(content):
        kinds.setdefault(tuple('*' if isinstance(k, int) else k for k in path), []).append(path)
    *above, key = generator.choice(kinds[generator.choice(sorted(kinds))])
    node = content
    for step in above:
        node = node[step]
    how = generator.choice(('replace', 'replace', 'replace', 'delete', 'double'))
    if how == 'delete':
        del node[key]
    elif how == 'double' and isinstance(node, list):
        node.insert(key, copy.deepcopy(node[key]))
    else:
        node[key] = generator.choice(VALUES)
        how = f'{node[key]!r:.20}'
    return content, (*above, key, how)


def trials(content, path, run):
    """Status of ``run(number)`` with the content changed anew each time."""
    generator = random.Random(0)
    statuses = []
    for number in range(TRIALS):
        other, what = changed(content, generator)
        path.write_text(json.dumps(other))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of annotations without an image, of overflow
            try:
                statuses.append(run(number))
            except Exception as error:
                raise AssertionError(f'trial {number}, {what}') from error
    return statuses


@pytest.fixture
def truth(puppets):
    """Four images with a puppet each."""
    content = json.loads((puppets / 'train.json').read_text())
    return {**content, 'images': content['images'][:4], 'annotations': content['annotations'][:4]}


@pytest.mark.parametrize('which', ['results', 'annotations'])
def test_evaluation(truth, tmp_path, capsys, which):
    keys = ('image_id', 'category_id', 'keypoints', 'bbox')
    found = [{key: ann[key] for key in keys} | {'score': 0.9} for ann in truth['annotations']]
    files = {'results': tmp_path / 'r.json', 'annotations': tmp_path / 'a.json'}
    files['results'].write_text(json.dumps(found))
    files['annotations'].write_text(json.dumps(truth))
    (tmp_path / 'sigmas.json').write_text(json.dumps([0.05] * 5))
    command = ['eval', *map(str, files.values()), '--sigmas', str(tmp_path / 'sigmas.json')]
    content = found if which == 'results' else truth
    areas = ('annotation', 'bbox')
    statuses = trials(content, files[which], lambda n: main([*command, '--area', areas[n % 2]]))
    assert set(statuses) == {0, 2}
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith('rlepose: error: ') for line in said) == statuses.count(2)


@pytest.mark.parametrize('data_mode', ['topdown', 'bottomup'])
def test_building_a_data_set(truth, puppets, root, data_mode):
    """What stock MMPose can load is loaded; what it cannot is one error that names the file."""
    from mmpose.datasets.datasets import CocoDataset
    from mmpose.datasets.datasets.base import BaseCocoStyleDataset

    path = puppets / 'changed.json'
    file = root / 'tests/annotations/puppets_metainfo.py'
    metainfo = read_config(file)['dataset_info']  # read once, not each time
    build = partial(
        CocoDataset, ann_file=str(path), metainfo=metainfo, data_mode=data_mode, lazy_init=True
    )
    stock = {
        name: getattr(BaseCocoStyleDataset, name).__wrapped__
        for name in ('_load_annotations', 'load_data_list')
    }

    def run(number):
        with pytest.MonkeyPatch.context() as patch:
            for name, function in stock.items():
                patch.setattr(BaseCocoStyleDataset, name, function)
            try:
                loaded = build().load_data_list()
            except Exception:
                loaded = None
        if loaded:
            assert len(build().load_data_list()) == len(loaded)
            return 0
        with pytest.raises(UserError, match=re.escape(str(path))):
            build().load_data_list()
        return 2

    assert set(trials(truth, path, run)) == {0, 2}


def test_check(truth, puppets, meta, capsys, monkeypatch):
    monkeypatch.setattr(sources, 'load_metainfo', lambda source: meta)  # once, not each time
    path, sheet = puppets / 'changed.json', puppets / 'sheet.png'
    command = ['data', 'check', '--ann', path, '--images', puppets / 'images', '--metainfo', '-']
    options = [['--json']] * 7 + [['--sheet', sheet]]
    statuses = trials(truth, path, lambda n: main(list(map(str, [*command, *options[n % 8]]))))
    assert {0, 1} <= set(statuses) <= {0, 1, 2}
    assert sheet.is_file()
