# Integral regression (soft-argmax) on ResNet-50, coordinates supervised.
# Aim: AP 63.3 (MMPose's model zoo).
_base_ = 'mmpose::body_2d_keypoint/integral_regression/coco/ipr_res50_8xb64-210e_coco-256x256.py'
custom_imports = dict(imports=['rlepose_ext'])
