# Heatmaps, MobileNetV2 0.75x at 192x192, one GPU, COCO. Aim: AP 58.41 (MMPose_Clean).
# Starts from ImageNet weights; README.md says where from, or train from random weights with
# --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/msra_coco-192x192.py']

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
