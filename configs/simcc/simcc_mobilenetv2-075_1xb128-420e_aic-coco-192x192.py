# SimCC, MobileNetV2 0.75x at 192x192, one GPU, AI Challenger + COCO.
# Aim: AP 58.60 (MMPose_Clean).
# The backbone comes from heatmap training; README.md says how to get the file, or train
# from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/simcc_aic-coco-256x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(192, 192))
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_udp_aic-coco_backbone.pth',
        ),
    ),
    head=dict(input_size=codec['input_size'], in_featuremap_size=(6, 6), decoder=codec),
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
train_pipeline_stage2 = with_codec(_base_.train_pipeline_stage2, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
custom_hooks = [
    _base_.custom_hooks[0],
    dict(_base_.custom_hooks[1], switch_pipeline=train_pipeline_stage2),
]
