# Heatmaps, MobileNetV2 1.0x at 256x192, one GPU, COCO. Aim: AP 65.34 (MMPose_Clean).
# MMPose's own configuration, which has AP 64.8, takes mean and std of ImageNet.
_base_ = ['_base_/msra_coco-256x192.py']

model = dict(
    backbone=dict(
        widen_factor=1.0,
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    )
)
