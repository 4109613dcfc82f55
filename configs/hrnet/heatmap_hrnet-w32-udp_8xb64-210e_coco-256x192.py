# HRNet-W32 with unbiased data processing. Aim: AP 76.2 (MMPose's model zoo);
# 76.8 in the paper, with another detector.
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_udp-8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
