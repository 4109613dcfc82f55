# DEKR on HRNet-W48, tested at scales 1, 1/2 and 2 of 640 px. Aim: AP 72.3 (the paper, its own
# weights; 71.0 at one scale). For testing: train with dekr-rescore_hrnet-w48, whose weights fit.
_base_ = 'mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w48_8xb10-140e_coco-640x640.py'
custom_imports = dict(imports=['rlepose_ext'])

load, resize, pack = _base_.val_pipeline
val_pipeline = [
    load,
    dict(resize, aug_scales=[0.5, 2.0]),
    dict(pack, type='rlepose_ext.PackImagePyramid', meta_keys=(*pack.meta_keys, 'aug_scales')),
]
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
model = dict(
    type='rlepose_ext.PyramidPoseEstimator',
    data_preprocessor=dict(type='rlepose_ext.PyramidDataPreprocessor'),
    head=dict(type='rlepose_ext.DEKRHead'),
    test_cfg=dict(multiscale_test=True, multiscale_score_decrease=0.9, nms_dist_thr=0.15),
)
del load, resize, pack  # else they become keys of the config
