# RLE on ShuffleNetV2 at 192x192 on one GPU, COCO alone: MMPose_Clean's recipe of 210 epochs.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/coco_topdown.py',
    '../../_base_/schedules/multistep-210e.py',
]

randomness = dict(seed=3407)
optim_wrapper = dict(optimizer=dict(lr=1e-3))

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
    backbone=dict(type='ShuffleNetV2', widen_factor=1.0),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='rlepose_ext.RLEHead',
        in_channels=1024,
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
    dict(type='RandomBBoxTransform'),
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

train_dataloader = dict(num_workers=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# A person's score is its box's score + the mean score of its joints + the greatest one.
val_evaluator = dict(score_mode='bbox_rle')
test_evaluator = val_evaluator
