# RLE, ResNet-50 from ImageNet, trained and tested on grey pictures in three equal channels.
_base_ = ['../_base_/rle_coco_256x192.py']

gray = dict(type='rlepose_ext.ToGray', num_output_channels=3)
train_pipeline = [*_base_.train_pipeline[:-2], gray, *_base_.train_pipeline[-2:]]
val_pipeline = [*_base_.val_pipeline[:-1], gray, *_base_.val_pipeline[-1:]]
del gray  # else it becomes a key of the config

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
