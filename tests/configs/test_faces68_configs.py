"""The faces68 configs: mirror pairs against the data, equal budgets, real samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS, KEYPOINT_CODECS

from rlepose_ext.geometry.spaces import input_to_image

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
BASE = CONFIGS / '_base_/datasets/faces68_topdown.py'
SKPS, HEATMAP, RLE = (
    CONFIGS / 'skps' / f'{stem}_faces68-128x128.py'
    for stem in (
        'td-hm_mobilenetv2-050_skps-1xb64',
        'td-hm_mobilenetv2-050_1xb64',
        'rle_mobilenetv2-050_1xb64',
    )
)
each = pytest.mark.parametrize('path', [SKPS, HEATMAP, RLE], ids=['skps', 'heatmap', 'rle'])


@pytest.fixture
def faces(shared, monkeypatch):
    """The folder of faces68; configs look there."""
    folder = shared / 'data' / 'faces68'
    if not folder.is_dir():
        pytest.skip(f'no faces at {folder}')
    monkeypatch.setenv('RLEPOSE_DATA', str(folder.parent))
    return folder


def without_head(path):
    """The config, less what belongs to the method."""
    config = Config.fromfile(path).to_dict()
    codec = config.pop('codec')
    assert config['model'].pop('head')['decoder'] == codec
    for pipeline in (config['train_pipeline'], config['train_dataloader']['dataset']['pipeline']):
        assert pipeline[5] == {'type': 'GenerateTarget', 'encoder': codec}
        del pipeline[5]
    for key in ('neck', 'test_cfg'):
        del config['model'][key]
    del config['model']['backbone']['out_indices']
    return config


def test_heads_differ_in_features_codec_and_head_only():
    assert without_head(SKPS) == without_head(HEATMAP) == without_head(RLE)
    metric = {'type': 'NME', 'norm_mode': 'keypoint_distance', 'keypoint_indices': [36, 45]}
    assert without_head(SKPS)['val_evaluator'] == metric  # of the outer eye corners
    skps, maps = (Config.fromfile(path) for path in (SKPS, HEATMAP))
    assert skps.model.backbone == maps.model.backbone
    assert skps.model.neck == maps.model.neck
    for key in ('in_channels', 'conv_out_channels', 'conv_kernel_sizes', 'out_channels'):
        assert skps.model.head[key] == maps.model.head[key]
    for key in ('input_size', 'heatmap_size', 'sigma'):
        assert skps.codec[key] == maps.codec[key]


def test_the_mirrored_mean_face_is_the_mean_face(faces):
    """Each landmark's partner is the one its mirror image falls on, over all 2,472 faces."""
    points = np.concatenate([load(faces / f'faces68_{split}.json') for split in ('train', 'val')])
    assert len(points) == 2040 + 432
    # Complex plane, eye corners 36 and 45 at -1/2 and 1/2: mirroring is x + iy -> -x + iy.
    plane = points[..., 0] + 1j * points[..., 1]
    right, left = plane[:, 36:37], plane[:, 45:46]
    mean = ((plane - (right + left) / 2) / (left - right)).mean(axis=0)
    distance = np.abs(-mean.conj()[:, None] - mean[None])
    info = Config.fromfile(BASE).metainfo.keypoint_info
    ids = {entry.name: entry.id for entry in info.values()}
    pairs = [ids[entry.swap] if entry.swap else entry.id for entry in info.values()]
    assert [pairs[partner] for partner in pairs] == list(range(68))
    assert [i for i, partner in enumerate(pairs) if i == partner] == [
        8, 27, 28, 29, 30, 33, 51, 57, 62, 66,
    ]  # fmt: skip
    # In eye distances; the outer and inner corners of the mouth are 0.01 from each other.
    matched = distance[range(68), pairs]
    assert matched.max() < 0.06
    nearest = distance.argmin(axis=1)
    corners = {48, 54, 60, 64}
    assert all(nearest[i] == pairs[i] or {i, nearest[i]} & corners for i in range(68))
    assert distance[[48, 54, 60, 64], [54, 48, 64, 60]].max() < 0.02


def load(path):
    content = json.loads(path.read_text())
    return np.array([ann['keypoints'] for ann in content['annotations']]).reshape(-1, 68, 3)[
        ..., :2
    ]


def test_scale_of_the_error(faces):
    """The two figures of the README: the training set's mean face, and rounding to whole px."""
    boxes = {}
    for split in ('train', 'val'):
        content = json.loads((faces / f'faces68_{split}.json').read_text())
        boxes[split] = np.array([ann['bbox'] for ann in content['annotations']])[:, None]
    train, val = (load(faces / f'faces68_{split}.json') for split in ('train', 'val'))
    unit = np.linalg.norm(val[:, 36] - val[:, 45], axis=-1)[:, None]
    mean = ((train - boxes['train'][..., :2]) / boxes['train'][..., 2:]).mean(axis=0)
    guess = mean * boxes['val'][..., 2:] + boxes['val'][..., :2]
    error = np.linalg.norm(guess - val, axis=-1) / unit
    assert error.mean() == pytest.approx(0.195, abs=0.0005)
    # Mean distance from the middle of a unit square: 0.3826.
    assert (0.3826 / unit).mean() == pytest.approx(0.009, abs=0.0005)
    assert (val == val.round()).all(axis=(1, 2)).mean() > 0.8


@each
def test_labels_of_real_faces_go_to_targets_and_back(path, faces):
    """Landmarks of the photograph, through crop and targets, within the codec's resolution."""
    config = Config.fromfile(path)
    loader = config.val_dataloader.dataset
    loader.pipeline.insert(-1, {'type': 'GenerateTarget', 'encoder': config.codec})
    dataset = DATASETS.build(loader)
    assert len(dataset) == 432
    codec = KEYPOINT_CODECS.build(config.codec)
    # A heatmap's pixel is 4 px of the crop; a quarter shift is never more than 2 off.
    bound = {SKPS: 0.01, HEATMAP: 2.0, RLE: 0.01}[path]
    for index in range(0, 432, 36):
        sample = dataset[index]['data_samples']
        labels = sample.gt_instance_labels
        assert labels.keypoint_weights.min() == 1
        if path == RLE:
            points, _ = codec.decode(labels.keypoint_labels.numpy())
        elif path == SKPS:
            fields = sample.gt_fields
            points, _ = codec.decode(fields.heatmaps.numpy(), fields.displacements.numpy())
        else:
            points, _ = codec.decode(sample.gt_fields.heatmaps.numpy())
        meta = sample.metainfo
        points = input_to_image(
            points, meta['input_center'], meta['input_scale'], meta['input_size']
        )
        px_of_image = (meta['input_scale'] / meta['input_size']).max()
        error = np.abs(points - sample.gt_instances.keypoints).max()
        assert error < bound * px_of_image + 1e-3
