# YOLO-Pose (Maji et al., CVPR Workshops 2022) on YOLOv5-s6: boxes and joints of all persons of a
# picture by anchors, without a detector. 300 epochs of mosaics, SGD, 64 images a step.
_base_ = ['../../_base_/runtime.py', '../../_base_/datasets/coco_topdown.py']

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=10)
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.01, momentum=0.937, nesterov=True, weight_decay=5e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=300, begin=0, end=300, eta_min_ratio=0.2, by_epoch=True)
]
auto_scale_lr = dict(base_batch_size=64)
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='rlepose_ext.BiasWarmUpHook', epochs=3, min_iters=1000),
    # weight of the average 0.9999 (1 - exp(-n / 2000)) after n iterations
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=1e-4, gamma=2000, update_buffers=True),
]

codec = dict(type='rlepose_ext.YOLOPoseLabel', input_size=(960, 960))
channels = (128, 256, 384, 512)

model = dict(
    type='BottomupPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[0, 0, 0],
        std=[255, 255, 255],
        bgr_to_rgb=True,
        pad_size_divisor=64,
        pad_value=114 / 255,
    ),
    backbone=dict(
        type='CSPDarknet',
        arch='P6',
        deepen_factor=0.33,
        widen_factor=0.5,
        out_indices=(2, 3, 4, 5),
        spp_kernal_sizes=(3, 5, 7),
    ),
    neck=dict(type='rlepose_ext.YOLOv5PAFPN', in_channels=channels),
    head=dict(
        type='rlepose_ext.YOLOPoseHead',
        in_channels=channels,
        num_keypoints=17,
        loss=dict(type='rlepose_ext.YOLOPoseLoss', objectness_weight=1.6875, batch_size=64),
        decoder=codec,
    ),
    test_cfg=dict(score_thr=0.001, nms_thr=0.6, max_per_img=300),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='Mosaic',
        img_scale=codec['input_size'],
        pad_val=114.0,
        pre_transform=[dict(type='LoadImage')],
    ),
    dict(type='rlepose_ext.MosaicAffine', input_size=codec['input_size'], shift=0.1, scale=0.5),
    dict(type='FilterAnnotations', by_box=True, min_gt_bbox_wh=(2, 2), keep_empty=False),
    dict(type='rlepose_ext.RandomHSVGain', hue=0.015, saturation=0.7, value=0.4),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='BottomupResize', input_size=codec['input_size'], pad_val=(114, 114, 114)),
    # without category_id: that of a picture is a list, and results have one each
    dict(
        type='PackPoseInputs',
        meta_keys=(
            'id',
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'input_size',
            'input_center',
            'input_scale',
        ),
    ),
]

data_mode = 'bottomup'
train_dataloader = dict(
    batch_size=16, num_workers=8, dataset=dict(data_mode='bottomup', pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=1,
    dataset=dict(data_mode='bottomup', bbox_file=None, pipeline=val_pipeline),
)
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# The score of a person is that of its box.
val_evaluator = dict(nms_mode='none', score_mode='bbox')
test_evaluator = val_evaluator
del channels  # else it becomes a key of the config
