# Debiased integral regression with the formula of the paper; MMPose's head has another one.
# Aim: no published figure with this formula (MMPose's own: AP 67.5).
_base_ = (
    'mmpose::body_2d_keypoint/integral_regression/coco/ipr_res50_debias-8xb64-210e_coco-256x256.py'
)
custom_imports = dict(imports=['rlepose_ext'])

model = dict(head=dict(type='rlepose_ext.DebiasedIntegralHead'))
