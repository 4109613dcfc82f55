# SKPS on HRNetV2-w18 at 256x256 on one GPU: the recipe of MMPose's projects/skps on COFW,
# with its photometric changes and holes made without albumentations. Faces fill the crop, and
# their scale is left alone.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/cofw_topdown.py',
]

train_cfg = dict(by_epoch=True, max_epochs=160, val_interval=1)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(type='MultiStepLR', begin=0, end=160, milestones=[80, 120], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=16)

codec = dict(type='rlepose_ext.SKPSHeatmap', input_size=(256, 256), heatmap_size=(64, 64), sigma=2)

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='HRNet',
        in_channels=3,
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4,),
                num_channels=(64,),
            ),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block='BASIC',
                num_blocks=(4, 4),
                num_channels=(18, 36),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(18, 36, 72),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(18, 36, 72, 144),
                multiscale_output=True,
            ),
            upsample=dict(mode='bilinear', align_corners=False),
        ),
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://msra/hrnetv2_w18'),
    ),
    # 18 + 36 + 72 + 144 channels at 64x64
    neck=dict(type='FeatureMapProcessor', concat=True),
    head=dict(
        type='rlepose_ext.SKPSHead',
        in_channels=270,
        out_channels=29,
        conv_out_channels=(270,),
        conv_kernel_sizes=(1,),
        heatmap_loss=dict(type='rlepose_ext.AdaptiveWingLoss', use_target_weight=True),
        offside_loss=dict(type='rlepose_ext.AdaptiveWingLoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.0),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, rotate_factor=45, scale_prob=0.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='rlepose_ext.RandomBlur', prob=0.5),
    dict(type='rlepose_ext.RandomErase', prob=0.5, holes=(1, 8), size=(0.1, 0.2)),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='NME', rule='less'))
