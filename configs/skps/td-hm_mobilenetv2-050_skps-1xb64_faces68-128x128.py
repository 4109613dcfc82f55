# SKPS, MobileNetV2 0.5x from ImageNet, on the 2,040 faces of faces68.
# The backbone's file is made by one command from MMPose_Clean's:
#   rlepose convert mmpose-clean IN weights/mobilenetv2-050_imagenet_backbone.pth --backbone
_base_ = ['_base_/skps_faces68-128x128.py']

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-050_imagenet_backbone.pth',
        )
    )
)
