# HRNet-W48, 384x288. Aim: AP 76.7 (MMPose's model zoo).
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w48_8xb32-210e_coco-384x288.py'
custom_imports = dict(imports=['rlepose_ext'])
