# SimDR on HRNet-W32 at 64x64, three bins for each px. Aim: AP 56.4 (the paper), 45.8 with heatmaps.
_base_ = ['../_base_/simdr_coco_256x192.py']

codec = dict(_base_.codec, input_size=(64, 64), simcc_split_ratio=3.0)
model = dict(
    head=dict(
        input_size=codec['input_size'],
        in_featuremap_size=(16, 16),
        simcc_split_ratio=codec['simcc_split_ratio'],
        decoder=codec,
    )
)

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
