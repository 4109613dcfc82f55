# RLE, ResNet-50 from ImageNet, trained and tested on grey pictures in three equal channels.
_base_ = ['../rle/_base_/rle_coco-256x192.py']

train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='rlepose_ext.ToGray', num_output_channels=3),
    *_base_.train_pipeline[-2:],
]
val_pipeline = [
    *_base_.val_pipeline[:-1],
    dict(type='rlepose_ext.ToGray', num_output_channels=3),
    *_base_.val_pipeline[-1:],
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
