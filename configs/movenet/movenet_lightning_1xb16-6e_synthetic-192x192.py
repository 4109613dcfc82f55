# MoveNet Lightning, Google's weights, fine-tuned on drawn people (`rlepose quickstart` draws them).
# The file is a copy of what `rlepose weights movenet-lightning` prints.
_base_ = ['../quickstart/_base_/rle_synthetic-96x72.py']

from rlepose_ext.datasets.pipelines import with_codec

_google = dict(type='Pretrained', checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/movenet-lightning.pth')
_backbone = dict(type='rlepose_ext.MoveNetBackbone', arch='lightning')
_neck = dict(type='rlepose_ext.MoveNetFPN', in_channels=(24, 32, 64, 1280))
_head = dict(type='rlepose_ext.MoveNetHead', in_channels=24, out_channels=17)
codec = dict(type='rlepose_ext.MoveNetLabel', input_size=(192, 192), heatmap_size=(48, 48))
model = dict(
    data_preprocessor=dict(mean=[127.502] * 3, std=[127.502] * 3),
    backbone=dict(_delete_=True, init_cfg=dict(prefix='backbone.', **_google), **_backbone),
    neck=dict(init_cfg=dict(prefix='neck.', **_google), **_neck),
    head=dict(_delete_=True, init_cfg=dict(prefix='head.', **_google), decoder=codec, **_head),
    test_cfg=dict(_delete_=True, flip_test=True),
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_pipeline = with_codec(_base_.val_pipeline, codec)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
del _google, _backbone, _neck, _head  # else they become keys of the config
