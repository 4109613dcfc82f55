# MoveNet MultiPose on whole pictures of COCO, all persons at once, without a detector. Nobody has
# published how Google trained it: targets and losses are CenterNet's (Adam 5e-4, 140 epochs, the
# rate times 0.1 after 90 and 120).
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/coco_topdown.py',
    '../../_base_/schedules/multistep-210e.py',
]

train_cfg = dict(max_epochs=140)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(type='MultiStepLR', begin=0, end=140, milestones=[90, 120], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=128)

codec = dict(
    type='rlepose_ext.MoveNetLabel',
    input_size=(384, 384),
    heatmap_size=(96, 96),
    persons='many',
    shape='gaussian',
)

model = dict(
    type='BottomupPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[127.502, 127.502, 127.502],
        std=[127.502, 127.502, 127.502],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='rlepose_ext.MoveNetBackbone', arch='multipose'),
    neck=dict(type='rlepose_ext.MoveNetFPN', in_channels=(40, 48, 96, 1280)),
    head=dict(
        type='rlepose_ext.MoveNetMultiPoseHead',
        in_channels=24,
        out_channels=17,
        heatmap_loss=dict(type='FocalHeatmapLoss', use_target_weight=True),
        peak_weight=0.0,
        decoder=codec,
    ),
    # Two centres of a person are more than two cells apart; their boxes overlap.
    test_cfg=dict(flip_test=False, score_thr=0.01, nms_thr=0.45),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='BottomupRandomAffine',
        input_size=codec['input_size'],
        rotate_factor=10,
        bbox_keep_corner=False,
    ),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='BottomupGetHeatmapMask'),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='BottomupResize',
        input_size=codec['input_size'],
        size_factor=32,
        resize_mode='fit',
        pad_val=(0, 0, 0),
    ),
    # without category_id: that of a picture is a list, and results have one each
    dict(
        type='PackPoseInputs',
        meta_keys=(
            *('id', 'img_id', 'img_path', 'ori_shape', 'img_shape'),
            *('input_size', 'input_center', 'input_scale', 'raw_ann_info'),
        ),
    ),
]

data_mode = 'bottomup'
train_dataloader = dict(batch_size=16, dataset=dict(data_mode='bottomup', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    dataset=dict(data_mode='bottomup', bbox_file=None, pipeline=val_pipeline),
)
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# A person's score of the head is that of the whole pose.
val_evaluator = dict(nms_mode='none', score_mode='bbox')
test_evaluator = val_evaluator
