# SimCC without deconvolutions on MobileNetV2 0.75x at 192x192, AI Challenger and
# COCO. Data, augmentation and schedule are those of RLE on the same data; a batch has 128 persons.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/aic-coco_topdown.py',
    '../../_base_/schedules/cosine-420e.py',
]

randomness = dict(seed=3407)
# The norm is that of a loss which sums over the batch: on several GPUs each has 128 persons.
optim_wrapper = dict(clip_grad=dict(max_norm=10))
auto_scale_lr = dict(base_batch_size=128)

codec = dict(
    type='SimCCLabel',
    input_size=(192, 192),
    sigma=(4.9, 4.9),
    simcc_split_ratio=2.0,
    normalize=False,
    use_dark=False,
)

model = dict(
    type='TopdownPoseEstimator',
    # Mean and std 128 put the input into [-1, 1), which an 8-bit model wants.
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[128.0, 128.0, 128.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='MobileNetV2', widen_factor=0.75, out_indices=(7,)),
    head=dict(
        type='SimCCHead',
        in_channels=1280,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=tuple([s // 32 for s in codec['input_size']]),
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

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
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
