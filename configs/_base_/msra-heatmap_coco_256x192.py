# The same at height 256, width 192.
_base_ = ['./msra-heatmap_coco_192x192.py']

codec = dict(type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

model = dict(head=dict(decoder=codec))

# The base's steps at this size.
steps = dict(
    TopdownAffine=dict(type='TopdownAffine', input_size=codec['input_size']),
    GenerateTarget=dict(type='GenerateTarget', encoder=codec),
)
train_pipeline = [steps.get(step['type'], step) for step in _base_.train_pipeline]
val_pipeline = [steps.get(step['type'], step) for step in _base_.val_pipeline]
del steps  # else it becomes a key of the config

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
