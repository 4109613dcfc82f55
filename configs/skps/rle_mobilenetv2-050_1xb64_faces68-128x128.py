# RLE, MobileNetV2 0.5x from ImageNet, on faces68: beside SKPS, same budget.
# The backbone's file is made by one command from MMPose_Clean's:
#   rlepose convert mmpose-clean IN weights/mobilenetv2-050_imagenet_backbone.pth --backbone
_base_ = ['_base_/rle_faces68-128x128.py']

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-050_imagenet_backbone.pth',
        )
    )
)
