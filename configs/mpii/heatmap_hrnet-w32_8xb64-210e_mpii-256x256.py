# HRNet-W32 on MPII, 16 joints. Aim: PCKh@0.5 of 90.0, PCKh@0.1 of 33.4 (MMPose's model zoo).
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py'
custom_imports = dict(imports=['rlepose_ext'])
