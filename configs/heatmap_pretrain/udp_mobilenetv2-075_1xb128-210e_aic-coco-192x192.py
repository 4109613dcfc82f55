# UDP heatmaps, MobileNetV2 0.75x at 192x192, one GPU, AI Challenger + COCO.
# Aim: AP 59.59 (MMPose_Clean).
# Starts from ImageNet weights; README.md says where from, or train from random weights with
# --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/udp_aic-coco-192x192.py']

# As in the run of the figure; those at 256x192 have AdamW with 4e-3.
optim_wrapper = dict(optimizer=dict(type='Adam', lr=5e-4))
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
