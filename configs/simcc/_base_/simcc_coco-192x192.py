# SimCC without deconvolutions on MobileNetV2 0.75x at 192x192, COCO alone:
# MMPose_Clean's recipe of 210 epochs.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/coco_topdown.py',
    '../../_base_/schedules/multistep-210e.py',
]

randomness = dict(seed=3407)

codec = dict(type='SimCCLabel', input_size=(192, 192), sigma=6.0, simcc_split_ratio=2.0)

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

# MMPose_Clean reports AP with MMPose's default score.
val_evaluator = dict(score_mode='bbox_keypoint')
test_evaluator = val_evaluator
