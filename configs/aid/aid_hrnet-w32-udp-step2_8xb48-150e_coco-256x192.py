# AID, step 2: from the model of step 1, the learning rate up again, one ellipse hidden in every
# crop. Aim: AP 77.9 with boxes of person AP 65.1 (the paper's code).
_base_ = './aid_hrnet-w32-udp-step1_8xb48-210e_coco-256x192.py'

load_from = 'work_dirs/aid_hrnet-w32-udp-step1_8xb48-210e_coco-256x192/epoch_210.pth'
train_cfg = dict(max_epochs=150)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(type='MultiStepLR', begin=0, end=150, milestones=[100, 140], gamma=0.1, by_epoch=True),
]

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody', prob=0.3),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=[0.65, 1.35], rotate_factor=90),
    dict(type='TopdownAffine', input_size=_base_.codec['input_size'], use_udp=True),
    dict(type='rlepose_ext.AIDCutout'),
    dict(type='GenerateTarget', encoder=_base_.codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
