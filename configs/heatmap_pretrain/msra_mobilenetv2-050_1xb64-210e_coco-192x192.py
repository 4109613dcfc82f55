# Heatmaps, MobileNetV2 0.5x at 192x192, one GPU, COCO. Aim: AP 52.08 (MMPose_Clean).
# Starts from ImageNet weights; README.md says where from, or train from random weights with
# --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/msra_coco-192x192.py']

model = dict(
    backbone=dict(
        widen_factor=0.5,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-050_imagenet_backbone.pth',
        ),
    )
)
