# RLE, MobileNetV2 0.75x at 192x192, one GPU, AI Challenger + COCO. Aim: AP 57.20 (MMPose_Clean).
# The backbone comes from heatmap training; README.md says how to get the file, or train
# from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/rle_aic-coco-192x192.py']

optim_wrapper = dict(clip_grad=dict(max_norm=10))
model = dict(
    backbone=dict(
        widen_factor=0.75,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_udp_aic-coco_backbone.pth',
        ),
    )
)
