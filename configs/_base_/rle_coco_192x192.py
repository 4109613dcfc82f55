# RLE on MobileNetV2 0.5x at 192x192 on one GPU: MMPose_Clean's recipe for AI Challenger + COCO,
# here on COCO alone.
# Mean and std 128 put the input into [-1, 1), which an 8-bit model wants.
_base_ = ['./coco_topdown.py']

train_cfg = dict(max_epochs=420, val_interval=10)
randomness = dict(seed=3407)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.0))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=1000, start_factor=1e-5, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=210,
        end=420,
        T_max=210,
        eta_min=2e-4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=256)

codec = dict(type='RegressionLabel', input_size=(192, 192))

model = dict(
    type='TopdownPoseEstimator',
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

train_dataloader = dict(batch_size=256, num_workers=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=390,
        switch_pipeline=train_pipeline_stage2,
    ),
]

# MMPose_Clean reports AP with MMPose's default score.
val_evaluator = dict(score_mode='bbox_keypoint')
test_evaluator = val_evaluator
