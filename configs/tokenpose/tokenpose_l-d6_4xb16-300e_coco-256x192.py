# TokenPose-L-D6: HRNet-W48 up to stage 3, three Transformers of 2 blocks. No figure
# is quoted: its authors have this size for MPII.
_base_ = ['_base_/tokenpose_coco-256x192.py']

model = dict(
    backbone=dict(
        width=48,
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w48-8ef0771d.pth',
        ),
    ),
    head=dict(in_channels=48, depths=(2, 2, 2), hidden_dim=None),
)

train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=64)
