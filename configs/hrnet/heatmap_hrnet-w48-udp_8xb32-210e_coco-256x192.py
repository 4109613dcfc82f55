# HRNet-W48 with unbiased data processing. Aim: AP 76.8 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w48_udp-8xb32-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
