"""What is checked: the catalogue's files below the root, a config's, one's own."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config

from rlepose_ext.annotations import sources
from rlepose_ext.annotations.catalogue import CATALOGUE, WFLW_SUBSETS, Split, known_set
from rlepose_ext.errors import UserError

TEST_DEV = 'coco_testdev/submission_hrnet-w32_8xb64-210e_coco-256x192'
CONFIGS = (
    ('coco', '_base_/datasets/coco_topdown'),
    ('coco', TEST_DEV),
    ('wflw', '_base_/datasets/wflw_topdown'),
    ('cofw', '_base_/datasets/cofw_topdown'),
    ('lip', '_base_/datasets/lip_topdown'),
    ('lsp', '_base_/datasets/lsp_topdown'),
    ('faces68', '_base_/datasets/faces68_topdown'),
    ('crowdpose', 'mmpose:crowdpose/td-hm_hrnet-w32_8xb64-210e_crowdpose-256x192'),
    ('mpii', 'mmpose:mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256'),
    ('aic', 'mmpose:aic/td-hm_hrnet-w32_8xb64-210e_aic-256x192'),
)


def files_of(config):
    """Annotation files, image folders and boxes that a config reads, below data/."""
    for phase in ('train', 'val', 'test'):
        dataset = config[f'{phase}_dataloader'].dataset
        yield dataset.data_root + dataset.ann_file
        yield (dataset.data_root + dataset.data_prefix.img).rstrip('/')
        if dataset.get('bbox_file'):
            yield dataset.bbox_file


def listed(known):
    files = {split.annotations for split in known.splits}
    return files | {split.images for split in known.splits} | {extra.path for extra in known.extras}


@pytest.mark.parametrize(('name', 'config'), CONFIGS)
def test_the_catalogue_has_what_configs_read(root, name, config, monkeypatch):
    import mmpose

    monkeypatch.delenv('RLEPOSE_DATA', raising=False)
    kind, _, stock = config.rpartition(':')
    path = root / f'configs/{config}.py'
    if kind == 'mmpose':
        path = f'{mmpose.__path__[0]}/.mim/configs/body_2d_keypoint/topdown_heatmap/{stock}.py'
    for file in files_of(Config.fromfile(path)):
        assert file.startswith('data/')
        assert file[len('data/') :].rstrip('/') in listed(known_set(name))


def test_configs_read_what_the_catalogue_has_of_coco(root, monkeypatch):
    monkeypatch.delenv('RLEPOSE_DATA', raising=False)
    read = {
        file.removeprefix('data/').rstrip('/')
        for name, config in CONFIGS
        if name == 'coco'
        for file in files_of(Config.fromfile(root / f'configs/{config}.py'))
    }
    assert listed(known_set('coco')) == read


def test_the_subsets_of_wflw_are_those_of_the_metric(root):
    config = Config.fromfile(root / 'configs/_base_/datasets/wflw_topdown.py')
    read = {path.rsplit('/', 1)[1] for path in config.val_evaluator.subsets.values()}
    assert read == {f'face_landmarks_wflw_test_{name}.json' for name in WFLW_SUBSETS}


def test_nothing_there(tmp_path):
    for known in CATALOGUE.values():
        assert sources.is_there(known, tmp_path) == '-'
        reports = sources.check_known(known, tmp_path)
        needed = [split for split in known.splits if split.needed]
        needed += [extra for extra in known.extras if extra.needed]
        assert sum(len(report.problems) for report in reports) == len(needed)
        assert known.source in str(reports[0].findings[0])


def test_both_names_of_aics_folder(puppets, meta, monkeypatch):
    """The archive of the training images is called 20170902 or 20170909."""
    monkeypatch.setattr(sources, 'load_metainfo', lambda source: meta)
    root = puppets.parent
    (root / 'aic/annotations').mkdir(parents=True)
    (puppets / 'train.json').rename(root / 'aic/annotations/aic_train.json')
    first, second = (root / f'aic/ai_challenger_keypoint_train_201709{day}' for day in ('02', '09'))
    first.mkdir()
    (puppets / 'images').rename(first / 'keypoint_train_images_20170902')
    for _ in range(2):
        assert sources.is_there(CATALOGUE['aic'], root) == 'complete'
        train, _ = sources.check_known(CATALOGUE['aic'], root)
        assert [str(p) for p in train.problems] == [
            'problem: 24 images are listed, the public file has 210,000',
            'problem: 24 annotations are listed, the public file has 378,352',
        ]
        if first.exists():
            first.rename(second)


def test_a_known_set_with_its_own_numbers(puppets, meta, monkeypatch):
    monkeypatch.setattr(sources, 'load_metainfo', lambda source: meta)
    known = replace(
        CATALOGUE['lsp'],
        name='puppets',
        splits=(
            Split('train', 'puppets/train.json', 'puppets/images', 24, 24),
            Split('val', 'puppets/val.json', 'puppets/images', 8, 8),
        ),
    )
    root = puppets.parent
    assert sources.is_there(known, root) == 'complete'
    reports = sources.check_known(known, root)
    assert [report.title for report in reports] == ['puppets train', 'puppets val']
    assert [report.problems for report in reports] == [[], []]
    (puppets / 'val.json').unlink()
    assert sources.is_there(known, root) == 'partly'
    assert f'{puppets / "val.json"} is missing' in str(
        sources.check_known(known, root)[1].problems[0]
    )


@pytest.fixture
def config(tmp_path, root):
    path = tmp_path / 'config.py'
    meta = root / 'tests/annotations/puppets_metainfo.py'
    path.write_text(
        f"""
own = dict(type='CocoDataset', metainfo=dict(from_file='{meta}'), data_root='data/puppets/',
           data_prefix=dict(img='images/'))
train_dataloader = dict(dataset=dict(
    type='CombinedDataset', metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
    datasets=[dict(type='RepeatDataset', times=2, dataset=dict(ann_file='train.json', **own))]))
val_dataloader = dict(dataset=dict(ann_file='val.json', bbox_file='data/boxes.json', **own))
test_dataloader = val_dataloader
"""
    )
    return path


def test_a_config_with_nested_data_sets(puppets, config):
    reports = sources.check_config(config, puppets.parent)
    assert [report.title for report in reports] == [
        'train of config.py', 'val of config.py', 'detected boxes',
    ]  # fmt: skip
    assert [len(report.problems) for report in reports] == [0, 0, 1]
    assert reports[0].counts['annotations'] == 24
    (puppets.parent / 'boxes.json').write_text('[]')
    assert len(sources.check_config(config, puppets.parent)) == 2


def test_the_files_of_test_dev(root, puppets):
    config, data = root / f'configs/{TEST_DEV}.py', puppets.parent
    coco = data / 'coco'
    (coco / 'annotations').mkdir(parents=True)
    (puppets / 'images').rename(coco / 'test2017')
    content = json.loads((puppets / 'val.json').read_text())
    del content['annotations']
    info = coco / 'annotations/image_info_test-dev2017.json'
    info.write_text(json.dumps(content))
    boxes = coco / 'person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json'

    def reported():
        return {Path(report.annotations): report for report in sources.check_config(config, data)}

    assert len(reported()[boxes].problems) == 1
    boxes.parent.mkdir()
    boxes.write_text('[]')
    found = reported()
    assert boxes not in found
    assert found[info].problems == []
    assert found[info].counts['images_checked'] == 8
    # the same by name, where the public file has more images
    (report,) = [
        r for r in sources.check_known(known_set('coco'), data) if r.annotations == str(info)
    ]
    assert [str(p) for p in report.problems] == [
        'problem: 8 images are listed, the public file has 20,288'
    ]
    # for training, a list of images is not enough
    (coco / 'annotations/person_keypoints_train2017.json').write_text(info.read_text())
    train = reported()[coco / 'annotations/person_keypoints_train2017.json']
    assert 'no joint is labelled' in str(train.problems)


def test_the_root_outranks_the_variable(shared, root, monkeypatch):
    if not (shared / 'data/lsp/lsp_train.json').is_file():
        pytest.skip('lsp is not there')
    config = root / 'configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py'
    for variable in (None, 'elsewhere', str(shared / 'data')):
        if variable:
            monkeypatch.setenv('RLEPOSE_DATA', variable)
        else:
            monkeypatch.delenv('RLEPOSE_DATA', raising=False)
        reports = sources.check_config(config, shared / 'data', limit=2)
        assert [report.counts['annotations'] for report in reports] == [2357, 396]
        assert os.environ.get('RLEPOSE_DATA') == variable


@pytest.mark.parametrize('text', ['a = 1\n', 'train_dataloader = dict(dataset=dict())\n'])
def test_configs_without_data(tmp_path, text):
    path = tmp_path / 'config.py'
    path.write_text(text)
    with pytest.raises(UserError, match='no data set with an ann_file'):
        sources.check_config(path)
    with pytest.raises(UserError, match='does not exist'):
        sources.check_config(tmp_path / 'absent.py')


def test_ones_own(puppets, root):
    meta = root / 'tests/annotations/puppets_metainfo.py'
    files = puppets / 'train.json', puppets / 'images'
    assert sources.check_own(*files, str(meta)).problems == []
    # a name of the catalogue instead of a file
    report = sources.check_own(*files, 'lsp')
    assert '24 annotations have another number of joints than the 14' in str(report.problems[0])


@pytest.mark.parametrize('name', ['lsp', 'faces68'])
def test_the_real_sets_beside_the_project_are_clean(shared, name):
    known = known_set(name)
    if sources.is_there(known, shared / 'data') != 'complete':
        pytest.skip(f'{name} is not there')
    reports = sources.check_known(known, shared / 'data', limit=200)
    assert [report.problems for report in reports] == [[], []]
    outside = [str(finding) for report in reports for finding in report.findings]
    rim = [] if name == 'lsp' else ['114, 702, 1005']  # three faces
    assert [said.rpartition('joints: ')[2] for said in outside] == rim
