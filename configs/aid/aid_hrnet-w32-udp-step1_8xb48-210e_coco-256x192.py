# AID, step 1: HRNet-W32 with UDP's classified and regressed targets (3 maps a joint), nothing
# dropped. Aim: AP 77.2 with boxes of person AP 65.1 (the paper's code).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_hrnet-w32_udp-regress-8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])

optim_wrapper = dict(optimizer=dict(lr=3e-3))
auto_scale_lr = dict(base_batch_size=384)

# As in HRNet's own code: scale within 35 %, rotation 45 degrees times a normal cut at +-2
# (about our 90), no shift.
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody', prob=0.3),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=[0.65, 1.35], rotate_factor=90),
    dict(type='TopdownAffine', input_size=_base_.codec['input_size'], use_udp=True),
    dict(type='GenerateTarget', encoder=_base_.codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(batch_size=48, dataset=dict(pipeline=train_pipeline))
