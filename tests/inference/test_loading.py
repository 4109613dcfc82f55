"""From names and files to models: what is found, and that all else is one clear error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import inference_topdown, init_model
from random_weights import POSE, random_checkpoint

from rlepose_ext.errors import UserError
from rlepose_ext.inference import PoseEstimator, loading
from rlepose_ext.inference.loading import choose_device, config_and_checkpoint
from rlepose_ext.resources import resource
from rlepose_ext.zoo import read_zoo

SMALL = Path(POSE)
RES50 = 'rle_res50_8xb64-210e_coco-256x192'
RLE = resource(f'configs/rle/{RES50}.py')


@pytest.mark.parametrize('form', ['name', 'path', 'relative path', 'Config'])
def test_without_a_checkpoint_the_zoos_own_is_taken(form, monkeypatch, tmp_path):
    weights = tmp_path / 'published.pth'
    weights.touch()
    monkeypatch.setattr(loading, 'fetch', lambda entry: weights if entry.name == RES50 else None)
    monkeypatch.chdir(RLE.parent)
    forms = {'name': RES50, 'path': RLE, 'relative path': RLE.name, 'Config': Config.fromfile(RLE)}
    config, found = config_and_checkpoint(forms[form], None)
    assert found == str(weights)
    assert config.model.backbone.type == 'ResNet'


def test_without_any_checkpoint_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, 'fetch', lambda entry: pytest.fail('of another file'))
    # the name of a config of the zoo, and another content
    other = tmp_path / RLE.name
    other.write_text(SMALL.read_text().replace("'_base_/", f"'{SMALL.parent}/_base_/"))
    unnamed = Config(dict(model=dict(type='TopdownPoseEstimator', backbone={})))
    for model in (other, Config.fromfile(other), unnamed):
        with pytest.raises(UserError, match='expected a checkpoint beside it, got none'):
            PoseEstimator(model, device='cpu')
    monkeypatch.undo()
    with pytest.raises(UserError, match=f'no weights are published for {SMALL.stem}'):
        PoseEstimator(SMALL, device='cpu')


def test_unexpected_keys(tmp_path, recwarn):
    """Scales of an 8-bit training. Older names of a layer, and losses, are not unexpected."""
    config = Config.fromfile(RLE)
    state = init_model(str(RLE), device='cpu').state_dict()
    state['head.loss_module.gone'] = torch.ones(1)
    state['head.loss_module.flow_model.loc'] = torch.zeros(3)  # of another size
    file = tmp_path / 'quantised.pth'
    torch.save({'state_dict': state}, file)
    config.model.head.split = True  # takes apart what the file has as one
    PoseEstimator(config, file, device='cpu')
    assert not [each for each in recwarn if 'unexpected' in str(each.message)]
    torch.save({'state_dict': state | {'backbone.conv1.output.scale': torch.ones(1)}}, file)
    with pytest.warns(UserWarning, match=r'1 unexpected key.* backbone\.conv1\.output\.scale'):
        PoseEstimator(RLE, file, device='cpu')


BROKEN = {
    'syntax.py': ('model = dict(', 'SyntaxError'),
    'base.py': ("_base_ = './gone.py'", 'gone.py'),
    'raises.py': ('1 / 0', 'division by zero'),
    'empty.py': ('', "there is no 'model'"),
    'type.py': ("_base_ = 'GOOD'\nmodel = dict(backbone=dict(type='Absent'))", 'Absent'),
    'argument.py': ("_base_ = 'GOOD'\nmodel = dict(head=dict(no_such_argument=3))", 'no_such_arg'),
    'pipeline.py': ("_base_ = 'GOOD'\ntest_dataloader = dict(_delete_=True)", 'test pipeline'),
}


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_config_is_one_clear_error(name, pose, tmp_path):
    text, cause = BROKEN[name]
    (tmp_path / name).write_text(text.replace('GOOD', str(SMALL)))
    with pytest.raises(UserError, match=cause) as raised:
        PoseEstimator(tmp_path / name, pose[1], device='cpu')
    assert str(tmp_path / name) in str(raised.value)
    assert '\n' not in str(raised.value)
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(UserError, match=r'list\.pth.*[Nn]o state_dict found'):
        PoseEstimator(SMALL, tmp_path / 'list.pth', device='cpu')


def test_devices():
    assert choose_device('cpu').type == 'cpu'
    for name in ('toaster', 'cuda:99', 'xpu'):
        with pytest.raises(UserError, match=name):
            choose_device(name)


# One of each kind of estimator, channels and test pipeline among the top-down configs of the zoo.
KINDS = [
    'quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72',
    'gray/rle_res50-gray1_8xb64-210e_coco-256x192',
    'crowdpose/shared12_hrnet-w32_8xb64-210e_coco-crowdpose-256x192',
    'gray/rle_res50-gray3_8xb64-210e_coco-256x192',
    'hrnet_lite/gau_hrnetlite-supergau_1xb64-210e_coco-256x192',
    'lip/heatmap-sigmoid_res18_1xb32-20e_lip-256x256',
]
slow = pytest.mark.slow


OTHER_ESTIMATORS = tuple(
    f'{name}Estimator' for name in ('BottomupPose', 'PyramidPose', 'PoseFix', 'QuantPose')
)


def kind(config):
    steps = [step.type for step in config.test_dataloader.dataset.pipeline]
    return config.model.type, config.model.backbone.get('in_channels', 3), *steps


@pytest.mark.parametrize('name', [KINDS[0], *(pytest.param(n, marks=slow) for n in KINDS[1:])])
def test_each_kind_of_config_runs_as_in_mmpose(name, tmp_path, noise):
    path = resource(f'configs/{name}.py')
    checkpoint = random_checkpoint(path, tmp_path / 'model.pth')
    image = noise(320, 240)
    boxes = np.array([[20, 30, 120, 230], [-15, -9, 60, 90]], np.float32)
    options = {'model.test_cfg.score': 'logit'}  # MMPose's, of SimCC heads
    found = PoseEstimator(path, checkpoint, device='cpu', cfg_options=options)(image, boxes)
    config = Config.fromfile(path)
    dataset = config.test_dataloader.dataset
    # it converts annotations, and MMPose's function fails where there are none
    dataset.pipeline = [s for s in dataset.pipeline if s.type != 'KeypointConverter']
    stock = inference_topdown(init_model(config, checkpoint, device='cpu'), image, boxes)
    for index, sample in enumerate(stock):
        instances = sample.pred_instances
        near = np.abs(found.keypoints[index] - instances.keypoints[0]) < 0.05
        # the largest of many bins may be two that are equal but for rounding
        assert near.mean() >= 0.94
        np.testing.assert_allclose(found.scores[index], instances.keypoint_scores[0], 1e-3, 1e-3)


@slow
def test_every_config_is_of_one_of_these_kinds():
    known = {kind(Config.fromfile(resource(f'configs/{name}.py'))) for name in KINDS}
    assert len(known) == len(KINDS)
    for entry in read_zoo():
        config = Config.fromfile(entry.path)
        # test_predictors.py, test_refining.py and tests/quant have these
        elsewhere = config.model.type.endswith(OTHER_ESTIMATORS)
        assert kind(config) in known or elsewhere, entry.name
