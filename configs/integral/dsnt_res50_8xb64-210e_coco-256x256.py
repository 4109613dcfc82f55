# Integral regression on ResNet-50 with a loss on the heatmaps as well (DSNT).
# Aim: AP 67.4 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/integral_regression/coco/ipr_res50_dsnt-8xb64-210e_coco-256x256.py'
)
custom_imports = dict(imports=['rlepose_ext'])
