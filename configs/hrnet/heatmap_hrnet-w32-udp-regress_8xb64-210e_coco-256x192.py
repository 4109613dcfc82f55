# HRNet-W32 with UDP, a disc and two offset maps per joint instead of a Gaussian.
# Aim: AP 75.9 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_hrnet-w32_udp-regress-8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
