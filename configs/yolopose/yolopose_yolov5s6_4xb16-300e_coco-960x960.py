# YOLO-Pose on YOLOv5-s6 at 960 px: whole pictures, no detector. Aim: AP 63.7 (the paper).
_base_ = ['_base_/yolopose_coco-960x960.py']
