# UDP heatmaps, MobileNetV2 0.75x at 256x192, one GPU, AI Challenger + COCO.
# Aim: AP 63.71 (MMPose_Clean).
# Starts from ImageNet weights; README.md says where from, or train from random weights with
# --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/udp_aic-coco-256x192.py']

model = dict(
    backbone=dict(
        widen_factor=0.75,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_imagenet_backbone.pth',
        ),
    )
)
