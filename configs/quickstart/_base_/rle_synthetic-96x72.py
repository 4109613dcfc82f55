# RLE on a quarter-width ResNet-18 at 96x72: what two CPU cores can train in minutes.
# The head reads the whole 6x5 map instead of its average: where a feature lies is what a
# regression from scratch learns first.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/synthetic_people.py',
]

train_cfg = dict(by_epoch=True, max_epochs=6, val_interval=2)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=6,
        T_max=6,
        eta_min=0.0,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=16)

codec = dict(type='RegressionLabel', input_size=(72, 96))

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        stem_channels=16,
        base_channels=16,
        strides=(1, 2, 2, 1),
        out_indices=(3,),
    ),
    head=dict(
        type='rlepose_ext.RLEHead',
        in_channels=128 * 6 * 5,
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
    dict(
        type='RandomBBoxTransform',
        shift_factor=0.03,
        scale_factor=[0.9, 1.15],
        rotate_factor=15,
        rotate_prob=0.5,
    ),
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

# No workers: a small drawing is prepared sooner than it is handed from process to process.
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
