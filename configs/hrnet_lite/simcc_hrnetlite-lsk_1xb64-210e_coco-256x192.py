# HRNet-Lite, a neck of large selective kernels (attention over space), SimCC. An idea of
# the founding notebook, without a number.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(neck=dict(type='rlepose_ext.LSKNeck', in_channels=32))
