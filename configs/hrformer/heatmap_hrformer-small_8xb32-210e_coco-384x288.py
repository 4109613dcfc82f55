# HRFormer-S, 384x288. Aim: AP 75.7 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrformer-small_8xb32-210e_coco-384x288.py'
)
custom_imports = dict(imports=['rlepose_ext'])
