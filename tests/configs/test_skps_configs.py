"""The two SKPS configs: totals, recipe, and a training and a test on real faces."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS

from rlepose_ext.geometry.spaces import input_to_image
from rlepose_ext.models.count import count_parameters

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
WFLW = CONFIGS / 'skps' / 'td-hm_hrnetv2-w18_skps-1xb64-80e_wflw-256x256.py'
COFW = CONFIGS / 'skps' / 'td-hm_hrnetv2-w18_skps-1xb16-160e_cofw-256x256.py'
both = pytest.mark.parametrize('path', [WFLW, COFW], ids=['wflw', 'cofw'])
SUBSETS = ('pose', 'illumination', 'occlusion', 'blur', 'makeup', 'expression')


def build_model(config):
    config.model.backbone.init_cfg = None  # no download
    return MODELS.build(config.model)


def lay_out(shared: Path, data: Path) -> None:
    """The sample faces as MMPose lays the data sets out; WFLW with one subset of a face."""
    samples = shared / 'data' / 'mmpose_samples'
    for name, files in (
        ('wflw', ('face_landmarks_wflw_train.json', 'face_landmarks_wflw_test.json')),
        ('cofw', ('cofw_train.json', 'cofw_test.json')),
    ):
        if not (samples / name).is_dir():
            pytest.skip(f'no sample faces at {samples / name}')
        (data / name / 'annotations').mkdir(parents=True)
        (data / name / 'images').mkdir()
        for image in (samples / name).glob('*.jpg'):
            shutil.copy(image, data / name / 'images')
        for file in files:
            shutil.copy(samples / name / f'test_{name}.json', data / name / 'annotations' / file)
    content = json.loads((samples / 'wflw' / 'test_wflw.json').read_text())
    content['annotations'] = content['annotations'][:1]
    subset = data / 'wflw' / 'annotations' / 'face_landmarks_wflw_test_largepose.json'
    subset.write_text(json.dumps(content))


@both
def test_totals(path):
    init_default_scope('mmpose')
    model = build_model(Config.fromfile(path))
    assert count_parameters(model) == {WFLW: 9_715_644, COFW: 9_659_547}[path]
    assert count_parameters(model.backbone) == 9_562_260
    assert {key.split('.')[0] for key in model.state_dict()} == {'backbone', 'head'}


@both
def test_a_released_checkpoint_loads(path):
    """Keys ``backbone.*`` of MMPose's HRNet and ``head.*`` as projects/skps has them."""
    init_default_scope('mmpose')
    model = build_model(Config.fromfile(path))
    joints = model.head.out_channels
    head = {
        'conv_layers.0.weight': torch.rand(270, 270, 1, 1),
        'conv_layers.0.bias': torch.rand(270),
        'conv_layers.1.weight': torch.rand(270),
        'conv_layers.1.bias': torch.rand(270),
        'conv_layers.1.running_mean': torch.rand(270),
        'conv_layers.1.running_var': torch.rand(270),
        'conv_layers.1.num_batches_tracked': torch.tensor(3),
        'final_layer.weight': torch.rand(3 * joints, 270, 1, 1),
        'final_layer.bias': torch.rand(3 * joints),
    }
    state = {f'backbone.{key}': value for key, value in model.backbone.state_dict().items()}
    state |= {f'head.{key}': value for key, value in head.items()}
    model.load_state_dict(state, strict=True)
    for key, value in head.items():
        assert torch.equal(model.head.state_dict()[key], value), key


@both
def test_recipe(path):
    config = Config.fromfile(path)
    epochs, steps, batch, joints = {
        WFLW: (80, [40, 60], 64, 98),
        COFW: (160, [80, 120], 16, 29),
    }[path]
    assert config.train_cfg.max_epochs == epochs
    assert config.optim_wrapper.optimizer == {'type': 'AdamW', 'lr': 2e-3, 'weight_decay': 5e-4}
    warm_up, decay = config.param_scheduler
    assert (warm_up.end, warm_up.by_epoch) == (500, False)
    assert (decay.milestones, decay.end) == (steps, epochs)
    assert config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == batch
    assert config.model.head.out_channels == joints
    assert config.model.head.decoder == config.codec
    assert config.model.backbone.init_cfg.checkpoint == 'open-mmlab://msra/hrnetv2_w18'
    steps = {step.type: step for step in config.train_pipeline}
    assert 'Albumentation' not in steps
    assert steps['GetBBoxCenterScale'].get('padding', 1.25) == (1.25 if path == WFLW else 1)
    assert steps['RandomBBoxTransform'].get('scale_prob', 1) == (1 if path == WFLW else 0)
    assert steps['GenerateTarget'].encoder == config.codec
    hook = config.default_hooks.checkpoint
    assert (hook.save_best, hook.rule) == ('NME', 'less')


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


@pytest.mark.slow
@both
def test_an_epoch_and_a_test_on_real_faces(path, shared, tmp_path, monkeypatch):
    """One iteration of two faces and one validation, with the flip test, by the Runner."""
    lay_out(shared, tmp_path / 'data')
    monkeypatch.setenv('RLEPOSE_DATA', str(tmp_path / 'data'))
    config = Config.fromfile(path)
    config.model.backbone.init_cfg = None
    config.train_cfg.max_epochs = 1
    config.train_dataloader.dataset.indices = 2
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[loader].update(batch_size=2, num_workers=0, persistent_workers=False)
    config.default_hooks.logger.interval = 1
    config.work_dir = str(tmp_path / 'work')
    runner = Runner.from_cfg(config)
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    changed = [
        key for key, value in runner.model.named_parameters() if (value != before[key]).any()
    ]
    assert len(changed) == len(before)
    scalars = runner.message_hub.log_scalars
    for name in ('loss', 'loss_heatmap', 'loss_offset', 'acc_pose'):
        assert np.isfinite(scalars[f'train/{name}'].current()), name
    total = sum(scalars[f'train/{name}'].current() for name in ('loss_heatmap', 'loss_offset'))
    assert scalars['train/loss'].current() == pytest.approx(total, rel=1e-5)
    assert list((tmp_path / 'work').glob('best_NME_epoch_1.pth'))

    metrics = runner.test()
    assert set(metrics) == ({'NME', 'NME_pose'} if path == WFLW else {'NME'})
    assert all(0 < value < 10 for value in metrics.values())
    if path == WFLW:
        assert list(config.test_evaluator.subsets) == list(SUBSETS)
