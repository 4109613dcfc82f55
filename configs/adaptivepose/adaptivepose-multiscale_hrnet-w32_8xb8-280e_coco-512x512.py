# AdaptivePose on HRNet-W32, tested at scales 0.8 to 1.6 of 512 px, with flip test. Aim: AP 71.2
# (the authors' repository). For testing: train with adaptivepose_hrnet-w32, whose weights fit.
_base_ = ['_base_/adaptivepose_coco-512x512.py']

val_pipeline = [
    _base_.val_pipeline[0],
    dict(_base_.val_pipeline[1], aug_scales=[0.8, 1.2, 1.4, 1.6]),
    dict(_base_.val_pipeline[2], type='rlepose_ext.PackImagePyramid'),
]
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
model = dict(
    type='rlepose_ext.PyramidPoseEstimator',
    data_preprocessor=dict(type='rlepose_ext.PyramidDataPreprocessor'),
    test_cfg=dict(multiscale_test=True),
)
