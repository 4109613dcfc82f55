# HRNet-Lite + SimCC, 10,439,601 parameters. The founding notebook has its result in a lost
# figure only; 13 minutes an epoch.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=32)
