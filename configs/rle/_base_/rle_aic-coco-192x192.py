# RLE on MobileNetV2 0.5x at 192x192 on one GPU: MMPose_Clean's recipe for AI Challenger + COCO.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/aic-coco_topdown.py',
    '../../_base_/schedules/cosine-420e.py',
]

randomness = dict(seed=3407)

codec = dict(type='RegressionLabel', input_size=(192, 192))

model = dict(
    type='TopdownPoseEstimator',
    # Mean and std 128 put the input into [-1, 1), which an 8-bit model wants.
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[128.0, 128.0, 128.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='MobileNetV2', widen_factor=0.5, out_indices=(7,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='rlepose_ext.RLEHead',
        in_channels=1280,
        num_joints=17,
        loss=dict(type='rlepose_ext.RLELoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, shift_coords=True),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody'),
    dict(type='RandomBBoxTransform', scale_factor=[0.6, 1.4], rotate_factor=80),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='rlepose_ext.RandomBlur', prob=0.1),
    dict(type='rlepose_ext.RandomMedianBlur', prob=0.1),
    dict(type='rlepose_ext.RandomErase', prob=1.0),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
# The last 30 epochs: no shift, less scaling and rotation, half of the holes.
train_pipeline_stage2 = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody'),
    dict(
        type='RandomBBoxTransform',
        shift_factor=0.0,
        scale_factor=[0.75, 1.25],
        rotate_factor=60,
    ),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='rlepose_ext.RandomBlur', prob=0.1),
    dict(type='rlepose_ext.RandomMedianBlur', prob=0.1),
    dict(type='rlepose_ext.RandomErase', prob=0.5),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=390,
        switch_pipeline=train_pipeline_stage2,
    ),
]
