# Poseur, ResNet-50, as published. Aim: AP 75.5 (the paper's repository).
_base_ = ['_base_/poseur_coco-256x192.py']
