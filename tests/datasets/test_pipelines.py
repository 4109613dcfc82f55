"""Pipelines of a config for another codec."""

from mmengine.config import Config

from rlepose_ext.datasets.pipelines import with_codec

CONFIG = """
_base_ = 'BASE'

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(64, 96))
model = dict(head=dict(decoder=codec))
train_pipeline = with_codec(_base_.train_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
"""


def test_sizes_and_targets_are_the_codecs_and_the_rest_stays(root, tmp_path):
    """In a config, whose resolved dict is that of its base but for the codec."""
    base = root / 'configs/rle/_base_/rle_coco-256x192.py'
    path = tmp_path / 'smaller.py'
    path.write_text(CONFIG.replace('BASE', str(base)))
    found, before = Config.fromfile(path), Config.fromfile(base)
    codec = {'type': 'RegressionLabel', 'input_size': (64, 96)}
    expected = before.to_dict()
    for pipeline in (
        expected['train_pipeline'],
        expected['train_dataloader']['dataset']['pipeline'],
    ):
        assert [pipeline[i]['type'] for i in (5, 6)] == ['TopdownAffine', 'GenerateTarget']
        pipeline[5]['input_size'] = (64, 96)
        pipeline[6]['encoder'] = codec
    expected['codec'] = expected['model']['head']['decoder'] = codec
    assert found.to_dict() == expected


def test_the_pipeline_itself_is_left_alone():
    pipeline = [{'type': 'TopdownAffine', 'input_size': (192, 256), 'use_udp': True}]
    new = with_codec(pipeline, {'type': 'UDPHeatmap', 'input_size': (64, 64)})
    assert new == [{'type': 'TopdownAffine', 'input_size': (64, 64), 'use_udp': True}]
    assert pipeline[0]['input_size'] == (192, 256)
