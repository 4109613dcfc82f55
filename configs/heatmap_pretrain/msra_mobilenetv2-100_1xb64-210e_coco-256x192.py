# Heatmaps, MobileNetV2 1.0x at 256x192, one GPU, COCO. Aim: AP 65.34 (MMPose_Clean).
# MMPose's own configuration, which has AP 64.8, takes mean and std of ImageNet.
_base_ = ['_base_/msra_coco-192x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(192, 256), heatmap_size=(48, 64))
model = dict(
    backbone=dict(
        widen_factor=1.0,
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    ),
    head=dict(decoder=codec),
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
