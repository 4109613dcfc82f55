# RLE, ResNet-50 from ImageNet. Aim: AP 70.6 (MMPose's model zoo, detected boxes).
_base_ = ['_base_/rle_coco-256x192.py']
