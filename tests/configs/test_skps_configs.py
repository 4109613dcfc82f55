"""The two SKPS configs: recipe, and labels of real faces there and back."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, KEYPOINT_CODECS

from rlepose_ext.geometry.spaces import input_to_image

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
WFLW = CONFIGS / 'skps' / 'td-hm_hrnetv2-w18_skps-1xb64-80e_wflw-256x256.py'
COFW = CONFIGS / 'skps' / 'td-hm_hrnetv2-w18_skps-1xb16-160e_cofw-256x256.py'
both = pytest.mark.parametrize('path', [WFLW, COFW], ids=['wflw', 'cofw'])


def lay_out(shared: Path, data: Path) -> None:
    """The sample faces as MMPose lays the data sets out."""
    samples = shared / 'data' / 'mmpose_samples'
    for name, file in (('wflw', 'face_landmarks_wflw_test.json'), ('cofw', 'cofw_test.json')):
        if not (samples / name).is_dir():
            pytest.skip(f'no sample faces at {samples / name}')
        (data / name / 'annotations').mkdir(parents=True)
        (data / name / 'images').symlink_to(samples / name)
        shutil.copy(samples / name / f'test_{name}.json', data / name / 'annotations' / file)


@both
def test_labels_of_real_faces_go_to_maps_and_back(path, shared, tmp_path, monkeypatch):
    """Photograph to crop to maps to crop to photograph, to a hundredth of a pixel."""
    init_default_scope('mmpose')
    lay_out(shared, tmp_path)
    monkeypatch.setenv('RLEPOSE_DATA', str(tmp_path))
    config = Config.fromfile(path)
    loader = config.val_dataloader.dataset
    loader.pipeline.insert(-1, {'type': 'GenerateTarget', 'encoder': config.codec})
    dataset = DATASETS.build(loader)
    assert len(dataset) == {WFLW: 4, COFW: 2}[path]
    codec = KEYPOINT_CODECS.build(config.codec)
    for packed in dataset:
        sample = packed['data_samples']
        weights = sample.gt_instance_labels.keypoint_weights.numpy()
        assert weights.mean() > 0.5
        fields = sample.gt_fields
        points, scores = codec.decode(fields.heatmaps.numpy(), fields.displacements.numpy())
        np.testing.assert_array_equal(scores > 0, weights > 0)
        meta = sample.metainfo
        points = input_to_image(
            points, meta['input_center'], meta['input_scale'], meta['input_size']
        )
        labels = sample.gt_instances.keypoints
        np.testing.assert_allclose(points[weights > 0], labels[weights > 0], atol=0.01)
