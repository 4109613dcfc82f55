# RLE on ResNet-50 at 64x64, whose last map is 2x2. No published figure.
_base_ = ['../_base_/rle_coco_256x192.py']

codec = dict(type='RegressionLabel', input_size=(64, 64))
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
