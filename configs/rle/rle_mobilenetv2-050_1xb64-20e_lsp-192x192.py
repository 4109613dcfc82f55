# RLE, MobileNetV2 0.5x, fine-tuned on the 2,357 athletes of LSP. Aim: PCK@0.2 of 0.82.
# The backbone's file is made by one command from MMPose_Clean's:
#   rlepose convert mmpose-clean IN weights/mobilenetv2-050_udp_aic-coco_backbone.pth --backbone
_base_ = ['_base_/rle_lsp-192x192.py']

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-050_udp_aic-coco_backbone.pth',
        )
    )
)
