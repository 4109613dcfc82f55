# DEKR on HRNet-W48 at 640 px, with the rescoring network: whole pictures, no detector.
# Aim: AP 71.4 (MMPose's model zoo), 71.0 in the paper.
_base_ = 'mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w48_8xb10-140e_coco-640x640.py'
custom_imports = dict(imports=['rlepose_ext'])
