# RLE, MobileNetV2 0.5x, in 8 bit: learned ranges (LSQ+), from the float model.
# Aim: AP 48.04 (MMPose_Clean; float 48.81).
_base_ = ['../rle/_base_/rle_aic-coco-192x192.py']

load_from = 'work_dirs/rle_mobilenetv2-050_1xb256-420e_aic-coco-192x192/epoch_420.pth'
model = dict(
    type='rlepose_ext.QuantPoseEstimator',
    quant=dict(stage='lsq'),
    backbone=dict(widen_factor=0.5),
    head=dict(split=True),
)

train_cfg = dict(max_epochs=100)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=1e-5, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=100, T_max=50, eta_min=1e-5, by_epoch=True),
]
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline_stage2))
custom_hooks = [dict(type='SyncBuffersHook')]
