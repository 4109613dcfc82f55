# Heatmaps, ShuffleNetV2 1.0x at 256x192: MMPose's own configuration. Aim: AP 60.2 (model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_shufflenetv2_8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
