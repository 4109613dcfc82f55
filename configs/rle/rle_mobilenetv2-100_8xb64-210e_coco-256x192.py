# RLE, MobileNetV2 1.0x that was trained on heatmaps first. Aim: AP 59.3 (MMPose's model zoo).
_base_ = ['_base_/rle_coco-256x192.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=1.0,
        out_indices=(7,),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='https://download.openmmlab.com/mmpose/top_down/'
            'mobilenetv2/mobilenetv2_coco_256x192-d1e58e7b_20200727.pth',
        ),
    ),
    head=dict(in_channels=1280),
)
