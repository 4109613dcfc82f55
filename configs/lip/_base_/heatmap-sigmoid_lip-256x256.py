# The single-person baseline on LIP as it was: images stretched to 256x256, one narrow Gaussian
# per joint on a map of 64x64, a sigmoid, the plain mean of squared errors over all maps, those of
# absent joints included, Adam at a constant rate, no augmentation, no flip test.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/lip_topdown.py',
]

train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-4))
auto_scale_lr = dict(base_batch_size=32)

codec = dict(type='rlepose_ext.LIPHeatmap', input_size=(256, 256), heatmap_size=(64, 64), sigma=1)

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    head=dict(
        type='rlepose_ext.SigmoidHeatmapHead',
        in_channels=512,
        out_channels=16,
        deconv_out_channels=(512, 512, 512),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=False),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=False),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='rlepose_ext.StretchResize', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='rlepose_ext.StretchResize', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='PCKh/Total', rule='greater'))
