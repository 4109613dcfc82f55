"""The second pipeline is used from its epoch on: with workers, in wrappers, after a resume."""

import logging

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, TRANSFORMS
from mmengine.runner import Runner
from mmpose.datasets import CombinedDataset

from rlepose_ext.engine.hooks import PipelineSwitchHook
from rlepose_ext.engine.pipeline_switch import pipeline_owners
from rlepose_ext.errors import UserError


@TRANSFORMS.register_module()
class MarkStage(BaseTransform):
    def __init__(self, stage):
        self.stage = stage

    def transform(self, results):
        return {'stage': torch.tensor(self.stage), 'part': torch.tensor(results.get('part', 0))}


@TRANSFORMS.register_module()
class MarkPart(BaseTransform):
    def transform(self, results):
        return {**results, 'part': 1}


@DATASETS.register_module()
class FourSamples(BaseDataset):
    def load_data_list(self):
        return [{'index': index} for index in range(4)]

    def get_data_info(self, idx):
        return {'index': idx}


class Recorder(BaseModel):
    """Remembers the stage of every batch, per epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.stages = []
        self.parts = set()

    def forward(self, stage, part, mode='loss'):
        self.stages.append(int(stage.unique()))
        self.parts.update(part.tolist())
        return {'loss': self.weight.sum()}


STAGE1, STAGE2 = [{'type': 'MarkStage', 'stage': 1}], [{'type': 'MarkStage', 'stage': 2}]
PLAIN = {'type': 'FourSamples', 'pipeline': STAGE1}
COMBINED = {
    'type': 'mmpose.CombinedDataset',
    'metainfo': {'from_file': 'configs/_base_/datasets/coco.py'},
    'datasets': [{'type': 'FourSamples', 'pipeline': [{'type': 'MarkPart'}]}],
    'pipeline': STAGE1,
}


def train(
    tmp_path, dataset, switch_epoch=2, epochs=4, workers=0, resume=None, stage2=STAGE2, **train_cfg
):
    model = Recorder()
    runner = Runner(
        model,
        str(tmp_path),
        train_dataloader={
            'batch_size': 4,
            'num_workers': workers,
            'persistent_workers': workers > 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': dataset,
            'collate_fn': {'type': 'default_collate'},
        },
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        train_cfg=train_cfg or {'by_epoch': True, 'max_epochs': epochs},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
        custom_hooks=[PipelineSwitchHook(switch_epoch, stage2)],
        load_from=resume,
        resume=resume is not None,
        experiment_name=f'{tmp_path.name}_{id(model)}',
        default_scope='mmpose',
    )
    runner.train()
    return model


@pytest.mark.parametrize('workers', [0, 1])
def test_switches_at_its_epoch(tmp_path, workers):
    assert train(tmp_path, PLAIN, workers=workers).stages == [1, 1, 2, 2]


@pytest.mark.slow
def test_resumed_run_starts_with_the_second_pipeline(tmp_path):
    train(tmp_path, PLAIN, epochs=3)
    resumed = train(tmp_path, PLAIN, epochs=5, resume=str(tmp_path / 'epoch_3.pth'))
    assert resumed.stages == [2, 2]
    early = train(tmp_path, PLAIN, epochs=4, resume=str(tmp_path / 'epoch_1.pth'))
    assert early.stages == [1, 2, 2]


@pytest.mark.parametrize('workers', [0, 1])
def test_reaches_through_wrappers_and_keeps_inner_pipelines(tmp_path, workers):
    wrapped = {'type': 'RepeatDataset', 'times': 1, 'dataset': COMBINED}
    model = train(tmp_path, wrapped, switch_epoch=1, epochs=2, workers=workers)
    assert model.stages == [1, 2]
    assert model.parts == {1}, 'the pipeline of the inner data set was lost'


def test_owners():
    first, second = FourSamples(pipeline=STAGE1), FourSamples(pipeline=STAGE1)
    assert list(pipeline_owners(first)) == [first]
    assert list(pipeline_owners(RepeatDataset(first, times=3))) == [first]
    assert list(pipeline_owners(ConcatDataset([first, second]))) == [first, second]
    combined = DATASETS.build(COMBINED)
    assert isinstance(combined, CombinedDataset)
    assert list(pipeline_owners(RepeatDataset(combined, times=2))) == [combined]
    parts_do_it_all = DATASETS.build({**COMBINED, 'pipeline': []})
    assert list(pipeline_owners(parts_do_it_all)) == parts_do_it_all.datasets
    assert list(pipeline_owners(FourSamples(pipeline=[]))) == []


def test_mistakes_show_before_the_first_epoch(tmp_path, caplog):
    with pytest.raises(UserError, match='no pipeline'):
        train(tmp_path, {'type': 'FourSamples', 'pipeline': []})
    with pytest.raises(UserError, match='counts iterations'):
        train(tmp_path, PLAIN, by_epoch=False, max_iters=3)
    with pytest.raises(ValueError, match='negative'):
        PipelineSwitchHook(-1, STAGE2)
    with pytest.raises(KeyError, match='NoSuchTransform'):
        train(tmp_path, PLAIN, stage2=[{'type': 'NoSuchTransform'}])
    with caplog.at_level(logging.WARNING):
        PipelineSwitchHook(9, STAGE2).before_train(_runner_of(FourSamples(pipeline=STAGE1)))
    assert 'never reached' in caplog.text


def _runner_of(dataset):
    class Stub:
        train_loop = object()
        train_dataloader = torch.utils.data.DataLoader(dataset)
        max_epochs = 4
        logger = logging.getLogger('switch')

    return Stub
