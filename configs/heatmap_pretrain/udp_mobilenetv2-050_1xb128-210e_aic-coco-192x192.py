# UDP heatmaps, MobileNetV2 0.5x at 192x192, one GPU, AI Challenger + COCO.
# Aim: AP 53.32 (MMPose_Clean).
# Starts from the stage before, as `rlepose chain` arranges it; README.md has more.
_base_ = ['../_base_/udp-heatmap_aic-coco_192x192.py']

# MMPose_Clean's published config for this width; its later runs have AdamW with 4e-3.
optim_wrapper = dict(optimizer=dict(type='Adam', lr=5e-4))
model = dict(
    backbone=dict(
        widen_factor=0.5,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-050_msra_coco_backbone.pth',
        ),
    )
)
