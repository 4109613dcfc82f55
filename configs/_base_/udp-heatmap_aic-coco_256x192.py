# The same at height 256, width 192.
_base_ = ['./udp-heatmap_aic-coco_192x192.py']

codec = dict(type='UDPHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

model = dict(head=dict(decoder=codec))

# The base's steps at this size.
steps = dict(
    TopdownAffine=dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    GenerateTarget=dict(type='GenerateTarget', encoder=codec),
)
train_pipeline = [steps.get(step['type'], step) for step in _base_.train_pipeline]
train_pipeline_stage2 = [steps.get(step['type'], step) for step in _base_.train_pipeline_stage2]
val_pipeline = [steps.get(step['type'], step) for step in _base_.val_pipeline]
del steps  # else it becomes a key of the config

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=180,
        switch_pipeline=train_pipeline_stage2,
    ),
]
