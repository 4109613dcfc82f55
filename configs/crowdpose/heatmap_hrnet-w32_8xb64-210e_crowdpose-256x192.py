# HRNet-W32, trained and tested on CrowdPose. Aim: AP 67.5 (MMPose's model zoo), by crowd
# index 77.0 (easy), 68.7 (medium), 55.3 (hard).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/crowdpose/'
    'td-hm_hrnet-w32_8xb64-210e_crowdpose-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
