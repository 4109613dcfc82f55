# DEKR on HRNet-W32 at 512 px, with the rescoring network: whole pictures, no detector.
# Aim: AP 68.6 (MMPose's model zoo), 68.0 in the paper.
_base_ = 'mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py'
custom_imports = dict(imports=['rlepose_ext'])
