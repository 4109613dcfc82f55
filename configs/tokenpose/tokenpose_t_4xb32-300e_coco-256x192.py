# TokenPose-T: patches of the image itself, no convolution at all. Aim: AP 65.6, quoted.
_base_ = ['_base_/tokenpose_coco-256x192.py']

model = dict(
    backbone=dict(_delete_=True, type='rlepose_ext.IdentityBackbone'),
    head=dict(in_channels=3, in_featuremap_size=(192, 256), patch_size=(12, 16), num_heads=16),
)
