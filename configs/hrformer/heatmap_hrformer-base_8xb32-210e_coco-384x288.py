# HRFormer-B, 384x288. Aim: AP 77.4 (MMPose's model zoo), 77.2 in the paper.
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrformer-base_8xb32-210e_coco-384x288.py'
)
custom_imports = dict(imports=['rlepose_ext'])
