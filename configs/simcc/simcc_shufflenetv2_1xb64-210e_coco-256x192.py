# SimCC, ShuffleNetV2 1.0x at 256x192, one GPU, COCO. Aim: no published figure (192x192: 51.73).
# The backbone is that of MMPose's heatmap model, which has AP 60.2.
_base_ = ['_base_/simcc_coco-192x192.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(192, 256))
model = dict(
    backbone=dict(
        _delete_=True,
        type='ShuffleNetV2',
        widen_factor=1.0,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/'
            'coco/td-hm_shufflenetv2_8xb64-210e_coco-256x192-51fb931e_20221014.pth',
        ),
    ),
    head=dict(
        in_channels=1024, input_size=codec['input_size'], in_featuremap_size=(6, 8), decoder=codec
    ),
)

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
