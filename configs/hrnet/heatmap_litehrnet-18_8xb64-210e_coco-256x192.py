# Lite-HRNet-18, 256x192. Aim: AP 64.2 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_litehrnet-18_8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
