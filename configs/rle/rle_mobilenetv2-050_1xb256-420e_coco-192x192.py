# RLE, MobileNetV2 0.5x at 192x192, one GPU, COCO. Aim: no published figure (with AIC: 48.81).
# The backbone comes from heatmap training; README.md says how to get the file, or train
# from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/rle_aic-coco-192x192.py']

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        data_root=_base_.data_root,
        data_mode='topdown',
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=_base_.train_pipeline,
    )
)
model = dict(
    backbone=dict(
        widen_factor=0.5,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/mobilenetv2-050_udp_aic-coco_backbone.pth',
        ),
    )
)
