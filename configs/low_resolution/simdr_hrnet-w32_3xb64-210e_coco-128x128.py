# SimDR on HRNet-W32 at 128x128. Aim: AP 70.7 (the paper), 67.2 with heatmaps.
_base_ = ['../simcc/_base_/simdr_coco-256x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(128, 128), label_smooth_weight=0.2)
model = dict(head=dict(input_size=codec['input_size'], in_featuremap_size=(32, 32), decoder=codec))

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
