# SimDR on HRNet-W32 at height 128, width 96: half of the usual size. No published figure.
_base_ = ['../_base_/simdr_coco_256x192.py']

codec = dict(_base_.codec, input_size=(96, 128))
model = dict(head=dict(input_size=codec['input_size'], in_featuremap_size=(24, 32), decoder=codec))

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
