# PoseFix with ResNet-152 on COCO at 384x288. Aim: AP 77.3 of input poses with 76.3, those of
# HRNet-W48 (the authors' repository).
_base_ = ['_base_/posefix_coco-256x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(
    type='rlepose_ext.PoseFixLabel', input_size=(288, 384), heatmap_size=(72, 96), sigma=9.0
)
model = dict(
    data_preprocessor=dict(sigma=codec['sigma']),
    backbone=dict(
        depth=152, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet152')
    ),
    head=dict(decoder=codec),
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_pipeline = with_codec(_base_.val_pipeline, codec)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
