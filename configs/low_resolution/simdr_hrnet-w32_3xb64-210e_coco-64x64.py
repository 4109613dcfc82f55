# SimDR on HRNet-W32 at 64x64, three bins for each px. Aim: AP 56.4 (the paper), 45.8 with heatmaps.
_base_ = ['../simcc/_base_/simdr_coco-256x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(64, 64), simcc_split_ratio=3.0)
model = dict(
    head=dict(
        input_size=codec['input_size'],
        in_featuremap_size=(16, 16),
        simcc_split_ratio=codec['simcc_split_ratio'],
        decoder=codec,
    )
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
