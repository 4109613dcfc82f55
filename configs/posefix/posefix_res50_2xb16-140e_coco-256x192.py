# PoseFix with ResNet-50 on COCO. Aim: no published AP; the founding notebook notes a gain of 0.11
# on the results of HRFormer-B at 256x192, without a unit.
_base_ = ['_base_/posefix_coco-256x192.py']

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
)
