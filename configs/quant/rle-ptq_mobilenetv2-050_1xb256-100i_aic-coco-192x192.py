# RLE, MobileNetV2 0.5x, in 8 bit without training: 100 batches set the ranges of the float model.
_base_ = ['../rle/_base_/rle_aic-coco-192x192.py']

load_from = 'work_dirs/rle_mobilenetv2-050_1xb256-420e_aic-coco-192x192/epoch_420.pth'
model = dict(
    type='rlepose_ext.QuantPoseEstimator',
    quant=dict(stage='ptq', batches=100),
    backbone=dict(widen_factor=0.5),
    head=dict(split=True),
)

train_cfg = dict(_delete_=True, by_epoch=False, max_iters=100, val_interval=100)
param_scheduler = []
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler'), dataset=dict(pipeline=_base_.train_pipeline_stage2)
)
custom_hooks = [dict(type='SyncBuffersHook')]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=100))
log_processor = dict(by_epoch=False)
