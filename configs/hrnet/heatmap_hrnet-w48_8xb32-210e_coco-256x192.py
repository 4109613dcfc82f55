# HRNet-W48, 256x192. Aim: AP 75.6 (MMPose's model zoo), 75.1 in the paper.
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w48_8xb32-210e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])
