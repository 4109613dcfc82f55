# MoveNet Lightning, Google's weights, fine-tuned on LSP's 14 joints. The last convolutions of the
# maps of joints start anew. The file is a copy of what `rlepose weights movenet-lightning` prints.
_base_ = ['../rle/_base_/rle_lsp-192x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(type='rlepose_ext.MoveNetLabel', input_size=(192, 192), heatmap_size=(48, 48))
model = dict(
    data_preprocessor=dict(mean=[127.502] * 3, std=[127.502] * 3),
    backbone=dict(_delete_=True, type='rlepose_ext.MoveNetBackbone', arch='lightning'),
    neck=dict(_delete_=True, type='rlepose_ext.MoveNetFPN', in_channels=(24, 32, 64, 1280)),
    head=dict(
        _delete_=True,
        type='rlepose_ext.MoveNetHead',
        in_channels=24,
        out_channels=14,
        decoder=codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True),
)
load_from = '{{$RLEPOSE_WEIGHTS:weights}}/movenet-lightning.pth'
train_dataloader = dict(dataset=dict(pipeline=with_codec(_base_.train_pipeline, codec)))
