# SimDR, SimCC's first form: as SimDR*, but a target is one bin and a little for all others
# (label smoothing) instead of a Gaussian. KLDiscretLoss has the gradient of the cross-entropy then,
# times a constant that Adam does not see; hence no weight decay, as in the paper's code.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/coco_topdown.py',
    '../../_base_/schedules/multistep-210e.py',
]

optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.0))
auto_scale_lr = dict(base_batch_size=192)

codec = dict(
    type='SimCCLabel',
    input_size=(192, 256),
    sigma=4.0,
    simcc_split_ratio=2.0,
    smoothing_type='standard',
    label_smooth_weight=0.1,
)

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
                num_channels=(32, 64),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(32, 64, 128),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(32, 64, 128, 256),
            ),
        ),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w32-36af842e.pth',
        ),
    ),
    head=dict(
        type='SimCCHead',
        in_channels=32,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=(48, 64),
        simcc_split_ratio=codec['simcc_split_ratio'],
        # The map is large enough as HRNet gives it.
        deconv_out_channels=None,
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True),
)

# As in HRNet's own code: scale within 35 %, rotation 45 degrees times a normal cut at +-2
# (about our 90), no shift.
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody', prob=0.3),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=[0.65, 1.35], rotate_factor=90),
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

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))
