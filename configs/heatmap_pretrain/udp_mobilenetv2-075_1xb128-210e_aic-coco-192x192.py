# UDP heatmaps, MobileNetV2 0.75x at 192x192, one GPU, AI Challenger + COCO.
# Aim: AP 59.60 (MMPose_Clean).
# Starts from the stage before, as `rlepose chain` arranges it; README.md has more.
_base_ = ['../_base_/udp-heatmap_aic-coco_192x192.py']

model = dict(
    backbone=dict(
        widen_factor=0.75,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_msra_coco_backbone.pth',
        ),
    )
)
