# SimCC on ResNet-50 with deconvolutions. Aim: AP 72.1 (MMPose's model zoo).
_base_ = 'mmpose::body_2d_keypoint/simcc/coco/simcc_res50_8xb64-210e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])
