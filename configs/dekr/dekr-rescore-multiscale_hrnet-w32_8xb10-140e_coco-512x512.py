# DEKR on HRNet-W32, tested at scales 1, 1/2 and 2 of 512 px. Aim: AP 70.7 (the paper, its own
# weights; 68.0 at one scale). For testing: train with dekr-rescore_hrnet-w32, whose weights fit.
_base_ = 'mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py'
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
