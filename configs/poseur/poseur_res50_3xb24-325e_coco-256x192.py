# Poseur, ResNet-50, on three GPUs with 24 samples each and the learning rate of 256, as the
# founding notebook trained it. Aim: AP 69.2 (founding notebook; with the published batch 75.5).
_base_ = ['_base_/poseur_coco-256x192.py']

train_dataloader = dict(batch_size=24)
auto_scale_lr = dict(base_batch_size=72)
