# YOLOX-Pose-s at 640 px: boxes and joints in one pass. Aim: AP 64.1 (MMPose's model zoo).
_base_ = 'mmpose::body_2d_keypoint/yoloxpose/coco/yoloxpose_s_8xb32-300e_coco-640.py'
custom_imports = dict(imports=['rlepose_ext'])

# SyncNormHook of MMPose's config fails on several processes, with a warning.
custom_hooks = [
    _base_.custom_hooks[0],
    dict(type='SyncBuffersHook'),
    _base_.custom_hooks[2],
]
