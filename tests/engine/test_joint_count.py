"""A model for other joints than those of the data set is refused before the first step."""

import warnings
from types import SimpleNamespace

import pytest
from mmengine.dataset import BaseDataset, Compose
from mmengine.runner import Runner
from mmpose.datasets.transforms import KeypointConverter
from mmpose.models.heads import HeatmapHead, RTMCCHead

from rlepose_ext.engine.joint_count import check_joint_count
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads import RLEHead

MSRA = dict(type='MSRAHeatmap', input_size=(24, 32), heatmap_size=(6, 8), sigma=1)
UDP = dict(type='UDPHeatmap', input_size=(24, 32), heatmap_size=(6, 8), heatmap_type='combined')
HEADS = {
    'num_joints': lambda joints: RLEHead(4, joints),
    'out_channels': lambda joints: HeatmapHead(4, joints, deconv_out_channels=None, decoder=MSRA),
    'maps with offsets': lambda joints: HeatmapHead(
        4, 3 * joints, deconv_out_channels=None, decoder=UDP,
        loss=dict(type='CombinedTargetMSELoss', use_target_weight=True),
    ),
    'tokens': lambda joints: RTMCCHead(
        4, joints, (24, 32), (6, 8),
        gau_cfg=dict(hidden_dims=8, s=4, expansion_factor=2, dropout_rate=0.0, drop_path=0.0,
                     act_fn='ReLU', use_rel_bias=False, pos_enc=False),
    ),
}  # fmt: skip


def model(head, **test_cfg):
    return SimpleNamespace(head=head, test_cfg=test_cfg)


def dataset(joints, *transforms):
    metainfo = {'num_keypoints': joints, 'dataset_name': 'mine'}
    return SimpleNamespace(metainfo=metainfo, pipeline=Compose(transforms))


@pytest.mark.parametrize('name', HEADS)
def test_head_and_data_set(name):
    head = HEADS[name](5)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_joint_count(model(head), dataset(5), training=True)
        check_joint_count(model(head, flip_test=True), dataset(5), training=False)
    with pytest.raises(UserError, match='4 joints of the data set'):
        check_joint_count(model(head), dataset(4), training=True)
    with pytest.raises(UserError, match='4 joints of the data set'):
        check_joint_count(model(head, flip_test=True), dataset(4), training=False)
    # stock MMPose runs this, and a metric may compare the joints that both have
    with pytest.warns(UserWarning, match='4 joints of the data set'):
        check_joint_count(model(head), dataset(4), training=False)


def test_a_converter_gives_other_joints():
    converter = KeypointConverter(5, mapping=[(0, 0), (1, 2)])
    check_joint_count(model(HEADS['num_joints'](5)), dataset(14, converter), training=True)
    with pytest.raises(UserError, match='5 joints of the data set'):
        check_joint_count(model(HEADS['num_joints'](14)), dataset(14, converter), training=True)


def test_heads_of_others_are_passed_over():
    class Head:
        out_channels = 256

    check_joint_count(model(Head()), dataset(17), training=True)
    check_joint_count(SimpleNamespace(), dataset(17), training=True)


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
def test_every_run_asks(tmp_path, phase):
    """Whatever its config says; here a model that is never stepped."""
    from mmengine.model import BaseModel

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.head, self.test_cfg = HEADS['num_joints'](5), {'flip_test': True}

        def forward(self, *args, **kwargs):
            raise AssertionError('stepped')

    class Data(BaseDataset):
        METAINFO = {'num_keypoints': 4, 'dataset_name': 'mine'}

        def load_data_list(self):
            return [{'number': 0}]

    loader = dict(
        batch_size=1, num_workers=0, dataset=Data(),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )  # fmt: skip
    parts = {f'{phase}_dataloader': loader}
    parts[f'{phase}_cfg'] = {'max_epochs': 1, 'by_epoch': True} if phase == 'train' else {}
    if phase == 'train':
        parts['optim_wrapper'] = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
    else:
        parts[f'{phase}_evaluator'] = []
    runner = Runner(Model(), str(tmp_path), **parts)
    with pytest.raises(UserError, match=r"num_joints is 5.*4 joints of the data set 'mine'"):
        getattr(runner, phase)()
