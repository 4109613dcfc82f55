# The same with HardSwish in place of every ReLU. The founding notebook did not finish it.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=32)

model = dict(backbone=dict(act_cfg=dict(type='HardSwish')))
