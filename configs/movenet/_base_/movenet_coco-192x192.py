# MoveNet for one person on COCO's crops: the recipe of fire717/movenet.pytorch (Adam 1e-3, 120
# epochs, the rate times 0.1 after 70 and 100, weight decay 5e-4) with 8 x 64 crops.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/coco_topdown.py',
    '../../_base_/schedules/multistep-210e.py',
]

train_cfg = dict(max_epochs=120)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=5e-4), clip_grad=dict(type='value', clip_value=5.0)
)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(type='MultiStepLR', begin=0, end=120, milestones=[70, 100], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=512)

codec = dict(type='rlepose_ext.MoveNetLabel', input_size=(192, 192), heatmap_size=(48, 48))

model = dict(
    type='TopdownPoseEstimator',
    # Google's graph computes x / s - 1 with 1 / s = 0.007843 in float16: s = 127.502.
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[127.502, 127.502, 127.502],
        std=[127.502, 127.502, 127.502],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='rlepose_ext.MoveNetBackbone', arch='lightning'),
    neck=dict(type='rlepose_ext.MoveNetFPN', in_channels=(24, 32, 64, 1280)),
    head=dict(type='rlepose_ext.MoveNetHead', in_channels=24, out_channels=17, decoder=codec),
    test_cfg=dict(flip_test=False),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
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

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))
