# SimCC, MobileNetV2 0.75x, in 8 bit: scales fixed to what integers allow, from the LSQ+ model.
# Aim: AP 56.73 (MMPose_Clean; LSQ+ 56.60).
_base_ = ['../simcc/_base_/simcc_aic-coco-256x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(192, 192))
load_from = 'work_dirs/simcc-lsq_mobilenetv2-075_1xb128-100e_aic-coco-192x192/epoch_100.pth'
model = dict(
    type='rlepose_ext.QuantPoseEstimator',
    quant=dict(stage='qat'),
    head=dict(input_size=codec['input_size'], in_featuremap_size=(6, 6), decoder=codec),
)

train_cfg = dict(max_epochs=100)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=1e-5, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, end=100, T_max=50, eta_min=5e-6, by_epoch=True),
]
train_pipeline = with_codec(_base_.train_pipeline_stage2, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
custom_hooks = [dict(type='SyncBuffersHook')]
