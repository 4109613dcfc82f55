# RLE at 128x128: coordinates and their scale from the pooled last stage of the backbone.
# Backbone, schedule and preparation of images are those of the other two heads on faces68.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/faces68_topdown.py',
    '../../_base_/schedules/cosine-20e.py',
]

optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=1e-4))

codec = dict(type='RegressionLabel', input_size=(128, 128))

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='MobileNetV2', widen_factor=0.5, out_indices=(7,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='rlepose_ext.RLEHead',
        in_channels=1280,
        num_joints=68,
        loss=dict(type='rlepose_ext.RLELoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, shift_coords=True),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', rotate_factor=30, scale_factor=(0.75, 1.25)),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(save_best='NME', rule='less'),
)
