# SimDR* on HRNet-W48, 66,349,153 parameters; 28 minutes an epoch on 3 GPUs (founding notebook).
# Aim: AP 75.4 on test-dev (the paper).
_base_ = ['_base_/simdr-star_coco-256x192.py']

model = dict(
    backbone=dict(
        extra=dict(
            stage2=dict(num_channels=(48, 96)),
            stage3=dict(num_channels=(48, 96, 192)),
            stage4=dict(num_channels=(48, 96, 192, 384)),
        ),
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w48-8ef0771d.pth'
        ),
    ),
    head=dict(in_channels=48),
)
