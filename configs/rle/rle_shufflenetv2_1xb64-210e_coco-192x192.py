# RLE, ShuffleNetV2 1.0x at 192x192, one GPU, COCO. Aim: AP 50.96 (MMPose_Clean).
# The backbone is that of MMPose's heatmap model, which has AP 60.2.
_base_ = ['_base_/rle_coco-192x192.py']

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
    head=dict(in_channels=1024),
)
