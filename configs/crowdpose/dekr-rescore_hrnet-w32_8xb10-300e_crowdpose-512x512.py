# DEKR on HRNet-W32, trained and tested on CrowdPose. Aim: AP 66.3 (MMPose's model zoo).
_base_ = 'mmpose::body_2d_keypoint/dekr/crowdpose/dekr_hrnet-w32_8xb10-300e_crowdpose-512x512.py'
custom_imports = dict(imports=['rlepose_ext'])
