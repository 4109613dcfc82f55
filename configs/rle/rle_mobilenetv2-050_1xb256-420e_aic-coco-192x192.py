# RLE, MobileNetV2 0.5x at 192x192, one GPU, AI Challenger + COCO. Aim: AP 48.81 (MMPose_Clean).
# The backbone comes from heatmap training; README.md says how to get the file, or train
# from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/rle_aic-coco-192x192.py']

model = dict(
    backbone=dict(
        widen_factor=0.5,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-050_udp_aic-coco_backbone.pth',
        ),
    )
)
