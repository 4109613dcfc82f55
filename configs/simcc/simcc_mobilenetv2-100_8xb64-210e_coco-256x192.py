# SimCC on MobileNetV2 1.0x without deconvolutions. Aim: AP 62.0 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/simcc/coco/simcc_mobilenetv2_wo-deconv-8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])
