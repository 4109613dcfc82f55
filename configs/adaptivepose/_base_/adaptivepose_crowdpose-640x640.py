# AdaptivePose on whole pictures of CrowdPose, as its authors trained it: Adam 2.5e-4 with 64
# pictures, 280 epochs, the rate times 0.1 after 230 and 260; bones in the loss instead of OKS.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/crowdpose_bottomup.py',
    '../../_base_/schedules/multistep-210e.py',
]

train_cfg = dict(max_epochs=280)
optim_wrapper = dict(optimizer=dict(lr=2.5e-4))
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=280, milestones=[230, 260], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=64)

codec = dict(type='rlepose_ext.AdaptivePoseLabel', input_size=(640, 640), heatmap_size=(160, 160))

model = dict(
    type='BottomupPoseEstimator',
    # BGR, as the released weights want it: 255 times (.408, .447, .470) and (.289, .274, .278).
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[104.04, 113.985, 119.85],
        std=[73.695, 69.87, 70.89],
        bgr_to_rgb=False,
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
                num_channels=(48, 96),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(48, 96, 192),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(48, 96, 192, 384),
            ),
        ),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/pretrain_models/'
            'hrnet_w48-8ef0771d.pth',
        ),
    ),
    head=dict(
        type='rlepose_ext.AdaptivePoseHead',
        in_channels=48,
        out_channels=14,
        # shoulders, left and right arm, hips, left and right leg, head and neck
        parts=((0, 1), (2, 4), (3, 5), (6, 7), (8, 10), (9, 11), (12, 13)),
        offset_loss=dict(
            type='rlepose_ext.JointOffsetLoss',
            # limbs, shoulders, flanks, head and neck, like the bones of the authors' loss on COCO
            bones=(
                *((0, 2), (2, 4), (1, 3), (3, 5), (6, 8), (8, 10), (7, 9), (9, 11)),
                *((0, 1), (0, 6), (1, 7), (12, 13)),
            ),
        ),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='YOLOXHSVRandomAug', hue_delta=5, saturation_delta=60, value_delta=60),
    # The authors draw the scale of 0.6, 0.7, ..., 1.3 and the angle of N(0, 15) cut off at 30.
    dict(
        type='BottomupRandomAffine',
        input_size=codec['input_size'],
        scale_type='long',
        scale_factor=(0.6, 1.3),
        shift_factor=0.25,
        rotate_factor=24,
        rotate_prob=0.5,
        distribution='uniform',
    ),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='BottomupResize',
        input_size=codec['input_size'],
        size_factor=32,
        resize_mode='expand',
    ),
    # Not the categories: a picture has a list of them, which the evaluation takes for one.
    dict(
        type='PackPoseInputs',
        meta_keys=(
            *('id', 'img_id', 'img_path', 'crowd_index', 'ori_shape', 'img_shape'),
            *('input_size', 'input_center', 'input_scale', 'flip_indices', 'raw_ann_info'),
        ),
    ),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP', rule='greater'))

# A person's score of the head is that of the whole pose.
val_evaluator = dict(nms_mode='none', score_mode='bbox')
test_evaluator = val_evaluator
