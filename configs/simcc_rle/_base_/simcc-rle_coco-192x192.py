# SimCC + RLE on MobileNetV2 0.75x at 192x192 on one GPU: MMPose_Clean's hybrid, on COCO alone.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/coco_topdown.py',
    '../../_base_/schedules/multistep-210e.py',
]

randomness = dict(seed=3407)

codec = dict(
    type='rlepose_ext.SimCCRLELabel', input_size=(192, 192), sigma=6.0, simcc_split_ratio=2.0
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
    backbone=dict(
        type='MobileNetV2',
        widen_factor=0.75,
        out_indices=(7,),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_msra_coco_backbone.pth',
        ),
    ),
    head=dict(
        type='rlepose_ext.SimCCRLEHead',
        in_channels=1280,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=tuple([s // 32 for s in codec['input_size']]),
        simcc_split_ratio=codec['simcc_split_ratio'],
        deconv_out_channels=None,
        # KL sums over the batch, RLE is a mean: 0.01 belongs to 64 samples a process.
        loss=dict(
            type='rlepose_ext.PerSampleLoss',
            batch_size=64,
            loss=dict(type='KLDiscretLoss', use_target_weight=True),
        ),
        rle_loss=dict(type='rlepose_ext.RLELoss', use_target_weight=True),
        simcc_weight=1.0,
        rle_weight=0.01,
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, branch='simcc'),
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

train_dataloader = dict(num_workers=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))
