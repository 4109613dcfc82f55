# MoveNet Thunder on COCO, one person at 256x256. Aim: no published figure on COCO val2017.
# Google's weights fit: mim test mmpose THIS -C "$(rlepose weights movenet-thunder)"
_base_ = ['_base_/movenet_coco-192x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(type='rlepose_ext.MoveNetLabel', input_size=(256, 256), heatmap_size=(64, 64))
model = dict(
    backbone=dict(arch='thunder'),
    neck=dict(in_channels=(40, 56, 112, 1280)),
    head=dict(decoder=codec),
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
