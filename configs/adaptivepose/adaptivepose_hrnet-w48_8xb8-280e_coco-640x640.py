# AdaptivePose on HRNet-W48 at 640 px: whole pictures, no detector.
# Aim: AP 71.5 with flip test, 71.0 without (the authors' repository).
_base_ = ['_base_/adaptivepose_coco-512x512.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(640, 640), heatmap_size=(160, 160))
_start = 'https://download.openmmlab.com/mmpose/pretrain_models/hrnet_w48-8ef0771d.pth'
model = dict(
    backbone=dict(
        extra=dict(
            stage2=dict(num_channels=(48, 96)),
            stage3=dict(num_channels=(48, 96, 192)),
            stage4=dict(num_channels=(48, 96, 192, 384)),
        ),
        init_cfg=dict(checkpoint=_start),
    ),
    head=dict(in_channels=48, decoder=codec),
)
train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
del _start  # else it becomes a key of the config
