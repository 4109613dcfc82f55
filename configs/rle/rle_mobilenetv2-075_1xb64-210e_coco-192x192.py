# RLE, MobileNetV2 0.75x at 192x192, one GPU, COCO. Aim: AP 55.28 (MMPose_Clean).
# The backbone comes from heatmap training on COCO; ../heatmap_pretrain/README.md says how to get
# the file, or train from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/rle_coco-192x192.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=0.75,
        out_indices=(7,),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-075_msra_coco_backbone.pth',
        ),
    ),
    head=dict(in_channels=1280),
)
