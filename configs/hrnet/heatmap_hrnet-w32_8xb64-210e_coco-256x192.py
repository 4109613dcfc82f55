# HRNet-W32, 256x192. Aim: AP 74.6 (MMPose's model zoo), 74.4 in the paper.
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])
