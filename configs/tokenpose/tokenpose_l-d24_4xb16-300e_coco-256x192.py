# TokenPose-L-D24: HRNet-W48 up to stage 3, three Transformers of 8 blocks. Aim: AP 75.8, quoted.
_base_ = ['_base_/tokenpose_coco-256x192.py']

model = dict(
    backbone=dict(
        width=48,
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w48-8ef0771d.pth',
        ),
    ),
    head=dict(in_channels=48, depths=(8, 8, 8), hidden_dim=None, num_heads=12),
)

train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=64)
