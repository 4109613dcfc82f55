# The same with HardSwish in place of every ReLU. The founding notebook did not finish it.
_base_ = ['_base_/heatmap-hrnetlite_coco-256x192.py']

model = dict(backbone=dict(act_cfg=dict(type='HardSwish')))
