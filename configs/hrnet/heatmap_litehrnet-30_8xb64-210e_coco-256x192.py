# Lite-HRNet-30, 256x192. Aim: AP 67.6 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_litehrnet-30_8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
