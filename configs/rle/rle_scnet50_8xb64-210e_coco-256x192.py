# RLE, SCNet-50 from ImageNet. Aim: no published figure with RLE; with heatmaps AP 72.8,
# and ResNet-50 with RLE 70.6 (both MMPose's model zoo).
_base_ = ['_base_/rle_coco-256x192.py']

model = dict(
    backbone=dict(
        type='rlepose_ext.SCNet',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/pretrain_models/scnet50-7ef0a199.pth',
        ),
    )
)
