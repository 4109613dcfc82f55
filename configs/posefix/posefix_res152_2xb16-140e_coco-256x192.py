# PoseFix with ResNet-152 on COCO. Aim: no published AP at this size; the founding notebook notes a
# gain of 0.16 with the authors' weights on the results of HRFormer-B at 256x192, without a unit.
_base_ = ['_base_/posefix_coco-256x192.py']

model = dict(
    backbone=dict(
        depth=152, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet152')
    ),
)
