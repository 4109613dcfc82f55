# SimDR on HRNet-W32 at height 128, width 96: half of the usual size. No published figure.
_base_ = ['../simcc/_base_/simdr_coco-256x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(96, 128))
model = dict(head=dict(input_size=codec['input_size'], in_featuremap_size=(24, 32), decoder=codec))

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
