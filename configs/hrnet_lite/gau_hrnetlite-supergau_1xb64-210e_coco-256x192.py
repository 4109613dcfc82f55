# Units at three more places: over the channels of the maps that enter stage 3; the first
# shares the head's weights. Quoted: AP 73.5 at epoch 200 (the founding notebook). The
# notebook probably measured on ground-truth boxes; this config evaluates on detected ones.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(
    type='rlepose_ext.SharedGAUPoseEstimator',
    backbone=dict(
        type='rlepose_ext.HRNetLiteGAU',
        input_size=_base_.codec['input_size'],
        gau=dict(expansion=2, attention='softmax_plus'),
    ),
    head=dict(blocks=[dict(type='GAU', expansion=2, attention='softmax_plus')]),
)
