# Unbiased heatmaps (UDP) at 192x192 on AI Challenger and COCO: from ImageNet to the
# backbones that MMPose_Clean's RLE and SimCC start from. Data, augmentation and its milder end are
# theirs, the epochs half. UDP's warp of the image counts px from centre to centre.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/aic-coco_topdown.py',
    '../../_base_/schedules/cosine-210e.py',
]

randomness = dict(seed=3407)

codec = dict(type='UDPHeatmap', input_size=(192, 192), heatmap_size=(48, 48), sigma=2)

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
    head=dict(
        type='HeatmapHead',
        in_channels=1280,
        out_channels=17,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec,
    ),
    # MMPose_Clean tests this stage without the flipped image.
    test_cfg=dict(flip_test=False, flip_mode='heatmap', shift_heatmap=False),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody'),
    dict(type='RandomBBoxTransform', scale_factor=[0.6, 1.4], rotate_factor=80),
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
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
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
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
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=180,
        switch_pipeline=train_pipeline_stage2,
    ),
]
