# AID on HRNet-Lite + SimCC, step 2. Step 1 is hrnet_lite/simcc_hrnetlite_1xb32-210e_coco-256x192.
_base_ = ['../hrnet_lite/_base_/simcc-hrnetlite_coco-256x192.py']

load_from = 'work_dirs/simcc_hrnetlite_1xb32-210e_coco-256x192/epoch_210.pth'
train_cfg = dict(max_epochs=150)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(type='MultiStepLR', begin=0, end=150, milestones=[100, 140], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=32)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody', prob=0.3),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=[0.65, 1.35], rotate_factor=90),
    dict(type='TopdownAffine', input_size=_base_.codec['input_size']),
    dict(type='rlepose_ext.AIDCutout'),
    dict(type='GenerateTarget', encoder=_base_.codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
