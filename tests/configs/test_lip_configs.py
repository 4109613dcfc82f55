"""LIP's two configs: what each is meant to be, labels there and back."""

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS, KEYPOINT_CODECS, METRICS

from rlepose_ext.geometry.spaces import input_to_image

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'lip'
FAITHFUL = CONFIGS / 'heatmap-sigmoid_res18_1xb32-20e_lip-256x256.py'
MODERN = CONFIGS / 'heatmap_res18_1xb64-210e_lip-256x256.py'
each = pytest.mark.parametrize('path', [FAITHFUL, MODERN], ids=['faithful', 'modern'])


@pytest.fixture(scope='module')
def drawn(root, tmp_path_factory):
    """A data root with drawn people as LIP."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root / 'tests' / 'annotations')
        folder = tmp_path_factory.mktemp('data')
        importlib.import_module('lip_drawn').draw_lip(folder / 'lip')
    return folder


@pytest.fixture
def load(drawn, monkeypatch):
    """Load a config whose data are the drawn ones."""
    monkeypatch.setenv('RLEPOSE_DATA', str(drawn))

    def load(path):
        config = Config.fromfile(path)
        config.model.backbone.init_cfg = None
        return config

    return load


def test_the_network_is_the_same_but_for_the_sigmoid(load):
    faithful, modern = (load(path).model for path in (FAITHFUL, MODERN))
    assert faithful.backbone == modern.backbone
    assert faithful.data_preprocessor == modern.data_preprocessor
    heads = [model.head.to_dict() for model in (faithful, modern)]
    for head in heads:
        del head['type'], head['decoder'], head['loss']
    assert heads[0] == heads[1]


@each
def test_labels_go_to_targets_and_back(path, load):
    """Image px to maps and back, within half a heatmap pixel (rounded: and a quarter shift)."""
    config = load(path)
    loader = config.val_dataloader.dataset
    loader.pipeline.insert(-1, {'type': 'GenerateTarget', 'encoder': config.codec})
    dataset = DATASETS.build(loader)
    assert len(dataset) == 4
    codec = KEYPOINT_CODECS.build(config.codec)
    metric = METRICS.build(config.val_evaluator)
    for packed in dataset:
        sample = packed['data_samples']
        meta, labelled = sample.metainfo, sample.gt_instances.keypoints_visible[0] > 0
        points, _ = codec.decode(sample.gt_fields.heatmaps.numpy())
        points = input_to_image(
            points, meta['input_center'], meta['input_scale'], meta['input_size']
        )
        bound = meta['input_scale'] / codec.heatmap_size * (0.5 if path == FAITHFUL else 0.75)
        error = np.abs(points - sample.gt_instances.keypoints)[0, labelled]
        assert (error <= bound + 1e-3).all()
        decoded = sample.to_dict()
        decoded['pred_instances'] = {'keypoints': points}
        metric.process({}, [decoded])
    result = metric.evaluate(4)
    assert result['PCKh/Total'] == 100
    assert result['PCKh/skipped'] == 1


def test_faithful_sees_the_whole_image_and_nothing_else(load):
    """Each border of the photograph is a border of the input, whatever the box of MMPose."""
    dataset = DATASETS.build(load(FAITHFUL).val_dataloader.dataset)
    for packed in dataset:
        image = cv2.imread(packed['data_samples'].img_path)
        height, width = image.shape[:2]
        inputs = packed['inputs'].permute(1, 2, 0).numpy()
        assert packed['data_samples'].input_scale.tolist() == [width, height]
        rows, columns = (np.arange(256) * side / 256 for side in (height, width))
        nearest = image[rows.astype(int)][:, columns.astype(int)]
        assert np.median(np.abs(nearest.astype(int) - inputs)) <= 1
        assert np.abs(inputs[:, -1].astype(int) - image[rows.astype(int), -1]).mean() < 10
