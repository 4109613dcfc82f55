# RLE, ResNet-50 that was trained on heatmaps first. Aim: AP 71.9 (MMPose's model zoo).
_base_ = ['_base_/rle_coco-256x192.py']

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/td-hm_res50_8xb64-210e_coco-256x192.pth',
        )
    )
)
