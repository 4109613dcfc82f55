# RLE, AlexNet from random weights. Aim: no published figure with RLE; with heatmaps AP 44.8
# (MMPose's model zoo), from where the learning rate is.
# To start from ImageNet instead, whose layers have the same names (`features.*`), add
#   --cfg-options model.backbone.init_cfg.type=Pretrained
#   model.backbone.init_cfg.checkpoint=torchvision://alexnet
# and MMEngine names `classifier.*`, which a pose model does not have, as unexpected.
_base_ = ['_base_/rle_coco-256x192.py']

optim_wrapper = dict(optimizer=dict(lr=5e-4))
model = dict(
    backbone=dict(_delete_=True, type='rlepose_ext.AlexNet'),
    head=dict(in_channels=256),
)
