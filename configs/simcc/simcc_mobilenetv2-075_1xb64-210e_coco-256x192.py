# SimCC, MobileNetV2 0.75x at 256x192, one GPU, COCO. Aim: no published figure (with AIC: 60.44).
# The backbone comes from heatmap training; README.md says how to get the file, or train
# from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/simcc_coco-192x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(192, 256))
model = dict(
    backbone=dict(
        widen_factor=0.75,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_msra_coco_backbone.pth',
        ),
    ),
    head=dict(input_size=codec['input_size'], in_featuremap_size=(6, 8), decoder=codec),
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
