# SimCC + RLE, MobileNetV2 0.75x at 192x192, loss 1 x SimCC + 0.01 x RLE, prediction by SimCC.
# Aim: AP 56.57 (MMPose_Clean), where SimCC alone has 55.79.
# The backbone comes from heatmap training on COCO, as that of SimCC alone; README.md says how to
# get the file, or train from random weights with --cfg-options model.backbone.init_cfg=None.
_base_ = ['_base_/simcc-rle_coco-192x192.py']
