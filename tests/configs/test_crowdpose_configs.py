"""CrowdPose with UDP, COCO's models on CrowdPose's twelve shared joints, and COCO's test-dev."""

import json
import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from config_case import CONFIGS, changed, load, load_stock, plain
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.registry import DATASETS

from rlepose_ext.models.input_size import at_input_size

UDP = 'crowdpose/heatmap_hrnet-w32-udp_8xb64-210e_crowdpose-256x192'
SHARED = {
    'crowdpose/shared12_hrnet-w32_8xb64-210e_coco-crowdpose-256x192': 'w32_8xb64',
    'crowdpose/shared12_hrnet-w32-udp_8xb64-210e_coco-crowdpose-256x192': 'w32_udp-8xb64',
}
TESTDEV = 'coco_testdev/submission_hrnet-w32_8xb64-210e_coco-256x192'


def test_udp_differs_from_stock_crowdpose_in_udp_alone():
    ours = plain(Config.fromfile(CONFIGS / f'{UDP}.py')._cfg_dict)
    theirs = plain(
        load_stock(
            'topdown_heatmap/crowdpose/td-hm_hrnet-w32_8xb64-210e_crowdpose-256x192'
        )._cfg_dict
    )
    for key in ('codec', 'model', 'train_pipeline', 'val_pipeline'):
        assert ours[key] != theirs[key]
    theirs['codec']['type'] = theirs['model']['head']['decoder']['type'] = 'UDPHeatmap'
    theirs['model']['test_cfg']['shift_heatmap'] = False
    pipelines = [theirs['train_pipeline'], theirs['val_pipeline']]
    pipelines += [
        theirs[f'{s}_dataloader']['dataset']['pipeline'] for s in ('train', 'val', 'test')
    ]
    for pipeline in pipelines:
        for step in pipeline:
            if step['type'] == 'TopdownAffine':
                step['use_udp'] = True
            if step['type'] == 'GenerateTarget':
                step['encoder']['type'] = 'UDPHeatmap'
    stock_evaluator, twelve = ours['test_evaluator']
    assert twelve['exclude'] == ['top_head', 'neck']
    ours['test_evaluator'] = stock_evaluator
    assert {key: ours[key] for key in theirs} == theirs
    assert set(ours) - set(theirs) == {'custom_imports'}


@pytest.mark.parametrize('name', SHARED)
def test_shared_joints_change_the_test_alone(name):
    ours = Config.fromfile(CONFIGS / f'{name}.py')
    theirs = load_stock(f'topdown_heatmap/coco/td-hm_hrnet-{SHARED[name]}-210e_coco-256x192')
    assert changed(ours, theirs) == {'test_dataloader', 'test_evaluator'}
    assert ours['test_dataloader']['dataset']['type'] == 'CocoDataset'  # the model's flip pairs
    pipeline = ours['test_dataloader']['dataset']['pipeline']
    kept = [step for step in pipeline if step['type'] != 'KeypointConverter']
    assert plain(kept) == plain(theirs['val_pipeline'])


def test_testdev_changes_the_test_alone():
    ours = Config.fromfile(CONFIGS / f'{TESTDEV}.py')
    theirs = load_stock('topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192')
    assert changed(ours, theirs) == {'test_dataloader', 'test_evaluator'}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """data/crowdpose and data/coco/test2017 in the working directory, three pictures each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('RLEPOSE_DATA', raising=False)
    rng = np.random.default_rng(0)
    crowdpose, coco = Path('data/crowdpose'), Path('data/coco')
    for folder in (crowdpose / 'images', coco / 'test2017'):
        folder.mkdir(parents=True)
        for number in (1, 2, 3):
            picture = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f'{number}.jpg'), picture)
    images = [
        {'id': n, 'file_name': f'{n}.jpg', 'width': 160, 'height': 120, 'crowdIndex': 0.3 * n}
        for n in (1, 2, 3)
    ]
    people = [person(number, image) for number, image in enumerate((1, 1, 2, 3), 1)]
    content = {'images': images, 'categories': [{'id': 1, 'name': 'person'}]}
    write(crowdpose / 'annotations/mmpose_crowdpose_test.json', content | {'annotations': people})
    write(coco / 'annotations/image_info_test-dev2017.json', content)
    boxes = [
        {key: ann[key] for key in ('image_id', 'category_id', 'bbox')} | {'score': 0.9}
        for ann in people
    ]
    write(crowdpose / 'annotations/det_for_crowd_test_0.1_0.5.json', boxes)
    name = 'COCO_test-dev2017_detections_AP_H_609_person.json'
    write(coco / 'person_detection_results' / name, boxes)
    return tmp_path / 'data'


def person(number, image):
    keypoints = [v for k in range(14) for v in (20 + 4 * k, 10 + 6 * k + number, 2)]
    ann = {'id': number, 'image_id': image, 'category_id': 1, 'iscrowd': 0}
    return ann | {'bbox': [15, 8, 70, 100], 'num_keypoints': 12, 'keypoints': keypoints}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('name', SHARED)
@pytest.mark.parametrize('boxes', ['detected', 'annotated'])
def test_flip_pairs_and_joints_are_the_models(name, boxes, data):
    config = load(name).test_dataloader.dataset
    if boxes == 'annotated':
        config.bbox_file = None
    dataset = DATASETS.build(config)
    assert len(dataset) == 4
    packed = dataset[1]
    sample = packed['data_samples']
    # nose, then pairs of left and right
    expected = [0, *(k + 1 if k % 2 else k - 1 for k in range(1, 17))]
    assert list(sample.metainfo['flip_indices']) == expected
    joints = sample.gt_instances.keypoints
    assert joints.shape == (1, 17, 2)
    if boxes == 'annotated':
        assert joints[0, 5:].tolist() == [[20 + 4 * k, 12 + 6 * k] for k in range(12)]
        assert sample.gt_instances.keypoints_visible[0, :5].max() == 0


def run_test(config, work_dir):
    """The Runner's test of a model with random weights, at half of the input size."""
    config = at_input_size(config, (96, 128))
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    config.visualizer.update(vis_backends=[])
    config.work_dir = str(work_dir)
    return Runner.from_cfg(config).test()


@pytest.mark.slow
def test_evaluation_runs(data, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr(Config, 'pretty_text', 'not formatted')
    metrics = run_test(load(UDP), tmp_path / 'work')
    for prefix in ('crowdpose', 'crowdpose12'):
        for column in ('AP', 'AP .5', 'AR', 'AP(E)', 'AP(M)', 'AP(H)'):
            assert math.isfinite(metrics[f'{prefix}/{column}'])
        assert 0 <= metrics[f'{prefix}/AP'] <= 1


@pytest.mark.slow
def test_submission_is_written(data, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr(Config, 'pretty_text', 'not formatted')
    assert run_test(load(TESTDEV), tmp_path / 'work') == {}
    stem = 'person_keypoints_test-dev2017_hrnet-w32_results'
    with zipfile.ZipFile(tmp_path / 'work_dirs/coco_testdev' / f'{stem}.zip') as archive:
        entries = json.loads(archive.read(f'{stem}.json'))
    assert {entry['image_id'] for entry in entries} == {1, 2, 3}
    for entry in entries:
        assert set(entry) == {'image_id', 'category_id', 'keypoints', 'score'}
        assert len(entry['keypoints']) == 51


def test_real_files(shared, monkeypatch):
    """The data set of MMPose's samples, detections and annotated boxes, through the config."""
    folder = shared / 'data/mmpose_samples/crowdpose'
    config = load(next(iter(SHARED))).test_dataloader.dataset
    config.update(data_root=str(folder), ann_file='test_crowdpose.json', data_prefix={'img': ''})
    config.bbox_file = str(folder / 'test_crowdpose_det_AP_40.json')
    detected = DATASETS.build(config)
    assert len(detected) == 6
    assert detected[0]['inputs'].shape == (3, 256, 192)
    config.bbox_file = None
    annotated = DATASETS.build(config)
    assert len(annotated) == 4  # of 5: one has no labelled joint
