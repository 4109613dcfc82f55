# The same with loss 10 x SimCC + 1 x RLE, prediction by RLE: soft-argmax, scored by sigma.
# Aim: AP 55.07 (MMPose_Clean), where RLE alone has 55.28 and SimCC alone 55.79.
_base_ = ['_base_/simcc-rle_coco-192x192.py']

model = dict(head=dict(simcc_weight=10.0, rle_weight=1.0), test_cfg=dict(branch='rle'))
