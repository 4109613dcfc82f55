# RLE on ResNet-50 at 64x64, whose last map is 2x2. No published figure.
_base_ = ['../rle/_base_/rle_coco-256x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(type='RegressionLabel', input_size=(64, 64))
model = dict(head=dict(decoder=codec))

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
