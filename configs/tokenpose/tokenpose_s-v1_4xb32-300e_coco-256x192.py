# TokenPose-S-v1: HRNet's stem and first stage, from random weights. Aim: AP 72.5, quoted.
_base_ = ['_base_/tokenpose_coco-256x192.py']

model = dict(
    backbone=dict(_delete_=True, type='rlepose_ext.HRNetLite', num_stages=1),
    head=dict(in_channels=256, attention_scale=192**-0.5),
)
