# RLE, ResNet-50 as in the paper's own repository: its loss, head, input and augmentation.
# Aim: AP 70.5 (paper). Its rotation, 45 degrees times a normal cut at +-2, is about our 90.
_base_ = ['_base_/rle_coco-256x192.py']

train_cfg = dict(max_epochs=270)
param_scheduler = [dict(type='MultiStepLR', end=270, milestones=[170, 200], gamma=0.1)]
auto_scale_lr = dict(base_batch_size=256)

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.535, 122.4], std=[255.0, 255.0, 255.0]),
    head=dict(norm_linear=True, loss=dict(q_distribution='official')),
)

codec = _base_.codec
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody', prob=0.3),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=[0.75, 1.25], rotate_factor=90),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
