# AdaptivePose on HRNet-W32 at 512 px: whole pictures, no detector.
# Aim: AP 69.1 with flip test, 68.6 without (the authors' repository).
_base_ = ['_base_/adaptivepose_coco-512x512.py']
