# Integral regression on MobileNetV2 0.75x: MMPose's configuration for ResNet-50, another
# backbone. Aim: no published figure (ResNet-50: 63.3).
# The backbone comes from heatmap training; configs/heatmap_pretrain/README.md says how to get
# the file, or train from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = 'mmpose::body_2d_keypoint/integral_regression/coco/ipr_res50_8xb64-210e_coco-256x256.py'
custom_imports = dict(imports=['rlepose_ext'])

model = dict(
    # that of a whole ResNet-50 model
    init_cfg=None,
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=0.75,
        out_indices=(7,),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_udp_aic-coco_backbone.pth',
        ),
    ),
    head=dict(in_channels=1280),
)
