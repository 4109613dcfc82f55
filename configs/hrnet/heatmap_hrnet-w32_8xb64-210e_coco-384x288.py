# HRNet-W32, 384x288. Aim: AP 76.0 (MMPose's model zoo).
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-384x288.py'
custom_imports = dict(imports=['rlepose_ext'])
