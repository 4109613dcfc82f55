# RLE on ShuffleNetV2 at 192x192 on one GPU, COCO alone. Schedule and augmentation are those of
# all trainings of MMPose_Clean on COCO alone: heatmaps and SimCC build on this file.
# Mean and std 128 put the input into [-1, 1), which an 8-bit model wants.
_base_ = ['./rle_coco_256x192.py']

randomness = dict(seed=3407)
auto_scale_lr = dict(base_batch_size=64)

codec = dict(type='RegressionLabel', input_size=(192, 192))

model = dict(
    data_preprocessor=dict(mean=[128.0, 128.0, 128.0], std=[128.0, 128.0, 128.0]),
    backbone=dict(_delete_=True, type='ShuffleNetV2', widen_factor=1.0),
    head=dict(in_channels=1024, decoder=codec),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody'),
    dict(type='RandomBBoxTransform'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(num_workers=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
