"""Testing or resuming with another model's checkpoint is an error; fine-tuning warns."""

import logging

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn
from torch.utils.data import Dataset

from rlepose_ext.engine.checkpoint_match import compare, snapshot
from rlepose_ext.errors import UserError


class Net(BaseModel):
    """A backbone, a head, and a loss with parameters of its own."""

    def __init__(self, width=4, joints=2):
        super().__init__()
        self.backbone = nn.Linear(3, width)
        self.head = nn.Linear(width, joints)
        self.loss_module = nn.Linear(2, 2)

    def forward(self, inputs, mode='tensor', **kwargs):
        out = self.head(self.backbone(torch.stack(inputs)))
        if mode == 'predict':
            return [None] * len(inputs)
        return {'loss': out.square().mean()}


class Other(BaseModel):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 4)

    forward = Net.forward


class Points(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {'inputs': torch.full((3,), float(index))}


def write(path, model, **more):
    torch.save({'state_dict': model.state_dict(), 'meta': {}, **more}, path)
    return str(path)


@pytest.fixture
def make_runner(tmp_path, request):
    loader = {
        'dataset': Points(),
        'batch_size': 2,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': 'pseudo_collate'},
    }

    def make(load_from, model=None, **kwargs):
        return Runner(
            model=model or Net(),
            work_dir=str(tmp_path),
            load_from=load_from,
            train_dataloader=loader,
            train_cfg={'by_epoch': True, 'max_epochs': 1},
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.0}},
            test_dataloader=loader,
            test_cfg={},
            test_evaluator=[{'type': 'DumpResults', 'out_file_path': str(tmp_path / 'out.pkl')}],
            default_scope='mmengine',
            experiment_name=request.node.name,
            **kwargs,
        )

    return make


@pytest.mark.parametrize('how', ['whole', 'without the loss', 'of several processes'])
def test_own_checkpoint_tests(make_runner, tmp_path, how):
    model = Net()
    expected = model.head.weight
    if how == 'without the loss':
        del model.loss_module
    if how == 'of several processes':
        model = nn.ModuleDict({'module': model})
    runner = make_runner(write(tmp_path / 'own.pth', model))
    runner.test()
    assert torch.equal(runner.model.head.weight, expected)


@pytest.mark.parametrize(('other', 'said'), [
    (Other(), r'0 of 6 parameters.*missing: backbone.weight.*in the file.*encoder.bias'),
    (Net(joints=3), r'4 of 6.*head.weight: file \(3, 4\), model \(2, 4\)'),
    (nn.ModuleDict({'module': Net(joints=3)}), r'head.weight: file \(3, 4\), model \(2, 4\)'),
    (Net(width=5), r'backbone.weight: file \(5, 3\), model \(4, 3\)'),
    (nn.ModuleDict({'backbone': Net().backbone}), r'missing: head\.weight, head\.bias'),
])  # fmt: skip
def test_testing_another_model_is_refused(make_runner, tmp_path, other, said):
    file = write(tmp_path / 'other.pth', other)
    with pytest.raises(UserError, match=said) as error:
        make_runner(file).test()
    assert file in str(error.value)


def test_fine_tuning_with_a_new_head_warns(make_runner, tmp_path, caplog):
    model = Net(joints=3)
    runner = make_runner(write(tmp_path / 'coco.pth', model))
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert torch.equal(runner.model.backbone.weight, model.backbone.weight)
    texts = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any('Fine-tuning from' in t and 'head.weight: file (3, 4)' in t for t in texts)


def test_part_of_a_checkpoint_loads_when_asked_for(make_runner, tmp_path):
    model, runner = Net(joints=3), make_runner(None)
    file = write(tmp_path / 'coco.pth', model)
    with pytest.raises(UserError, match='of another model'):
        runner.load_checkpoint(file)
    runner.load_checkpoint(file, strict=False)
    assert torch.equal(runner.model.backbone.weight, model.backbone.weight)
    runner.load_checkpoint(write(tmp_path / 'other.pth', Other()), 'cpu', False)


@pytest.mark.parametrize('other', [Other(), Net(width=5)])
def test_fine_tuning_from_another_backbone_is_refused(make_runner, tmp_path, other):
    with pytest.raises(UserError, match=r'is of another model.*random weights'):
        make_runner(write(tmp_path / 'other.pth', other)).train()


def test_resuming_is_exact_and_needs_training_state(make_runner, tmp_path):
    other = write(tmp_path / 'other.pth', Net(joints=3))
    with pytest.raises(UserError, match='of another model'):
        make_runner(other, resume=True).train()
    weights = write(tmp_path / 'weights.pth', Net())
    with pytest.raises(UserError, match=r'no training state.*epoch, iter, message_hub'):
        make_runner(weights, resume=True).train()


def test_modules_that_rename_keys_while_loading_count_as_loaded():
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            state_dict = dict(state_dict)
            state_dict[prefix + 'weight'] = state_dict.pop(prefix + 'old')
            super()._load_from_state_dict(state_dict, prefix, *args)

    model = nn.Sequential(Renamed(2, 2, bias=False))
    before = snapshot(model)
    model[0]._load_from_state_dict({'0.old': torch.ones(2, 2)}, '0.', {}, False, [], [], [])
    match = compare(model, before, {'0.old': torch.ones(2, 2)})
    assert (match.loaded, match.missing, match.mismatched) == (1, (), ())


def test_pretrained_backbones_still_load(tmp_path):
    # init_cfg=Pretrained goes through this function
    torch.save(Net().state_dict(), tmp_path / 'whole.pth')
    load_checkpoint(Other(), str(tmp_path / 'whole.pth'))


@pytest.mark.slow
def test_init_model_refuses_another_model(tmp_path):
    from mmpose.apis import init_model

    config = tmp_path / 'config.py'
    config.write_text("""
default_scope = 'mmpose'
head = dict(
    type='RegressionHead', in_channels=1280, num_joints=2,
    loss=dict(type='SmoothL1Loss', use_target_weight=True),
    decoder=dict(type='RegressionLabel', input_size=(32, 32)))
model = dict(
    type='TopdownPoseEstimator', head=head, neck=dict(type='GlobalAveragePooling'),
    backbone=dict(type='MobileNetV2', widen_factor=0.25))
""")
    model = init_model(str(config), device='cpu')
    own = write(tmp_path / 'own.pth', model)
    loaded = init_model(str(config), own, device='cpu')
    assert torch.equal(loaded.head.fc.weight, model.head.fc.weight)
    model.head.fc = nn.Linear(1280, 6)
    with pytest.raises(UserError, match=r'head.fc.weight: file \(6, 1280\)'):
        init_model(str(config), write(tmp_path / 'other.pth', model), device='cpu')
    with pytest.raises(UserError, match='0 of'):
        init_model(str(config), write(tmp_path / 'none.pth', Net()), device='cpu')


def test_pose_inferencer_refuses_another_model(tmp_path):
    from mmpose.apis.inferencers import Pose2DInferencer

    model, other = Net(), Net(joints=3)
    inferencer = object.__new__(Pose2DInferencer)
    inferencer._weights_file = 'weights.pth'
    cfg = None
    checkpoint = {'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'a': 1}}}
    inferencer._load_weights_to_model(Net(), checkpoint, cfg)
    checkpoint['state_dict'] = other.state_dict()
    with pytest.raises(UserError, match=r'weights\.pth is of another model'):
        inferencer._load_weights_to_model(model, checkpoint, cfg)
