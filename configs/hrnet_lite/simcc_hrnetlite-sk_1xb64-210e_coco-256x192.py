# HRNet-Lite, a neck of selective kernels (attention over channels), SimCC. An idea of
# the founding notebook, without a number.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(neck=dict(type='rlepose_ext.SKNeck', in_channels=32))
