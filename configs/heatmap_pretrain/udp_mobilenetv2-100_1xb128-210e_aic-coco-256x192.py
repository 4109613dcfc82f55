# UDP heatmaps, MobileNetV2 1.0x at 256x192, one GPU, AI Challenger + COCO.
# Aim: AP 65.31 (MMPose_Clean).
_base_ = ['_base_/udp_aic-coco-256x192.py']

model = dict(
    backbone=dict(
        widen_factor=1.0,
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    )
)
