# HRFormer-S, 256x192. Aim: AP 73.8 (MMPose's model zoo), 74.0 in the paper.
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrformer-small_8xb32-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
