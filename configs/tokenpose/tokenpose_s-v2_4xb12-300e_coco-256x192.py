# TokenPose-S-v2: as S-v1 with patches of 2 x 2, 768 of them. Aim: AP 73.5, quoted.
_base_ = ['_base_/tokenpose_coco-256x192.py']

model = dict(
    backbone=dict(_delete_=True, type='rlepose_ext.HRNetLite', num_stages=1),
    head=dict(in_channels=256, patch_size=(2, 2), attention_scale=192**-0.5),
)

train_dataloader = dict(batch_size=12)
auto_scale_lr = dict(base_batch_size=48)
