# MoveNet Lightning on COCO, one person at 192x192. Aim: no published figure on COCO val2017.
# Google's weights fit: mim test mmpose THIS -C "$(rlepose weights movenet-lightning)"
_base_ = ['_base_/movenet_coco-192x192.py']

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2')),
)
