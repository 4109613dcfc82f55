# SimCC, MobileNetV2 1.0x at 256x192, one GPU, AI Challenger + COCO.
# Aim: no published figure (COCO alone: 62.0, MMPose's model zoo).
# The backbone comes from heatmap training; README.md says how to get the file, or train
# from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/simcc_aic-coco-256x192.py']

model = dict(
    backbone=dict(
        widen_factor=1.0,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/'
            'mobilenetv2-100_udp_aic-coco-256x192_backbone.pth',
        ),
    )
)
