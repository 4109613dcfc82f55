# Classification per axis on the network of rle_synthetic-96x72.py, with its data and augmentation.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/synthetic_people.py',
]

train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=10)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False)]
auto_scale_lr = dict(base_batch_size=16)

codec = dict(type='SimCCLabel', input_size=(72, 96), sigma=4.9, simcc_split_ratio=2.0)

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
        type='SimCCHead',
        in_channels=128,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=(5, 6),
        simcc_split_ratio=codec['simcc_split_ratio'],
        deconv_out_channels=None,
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True),
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
