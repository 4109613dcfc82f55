# MoveNet MultiPose on COCO, whole pictures with a longer side of 384. Aim: no published figure.
# Google's weights fit: mim test mmpose THIS -C "$(rlepose weights movenet-multipose)"
_base_ = ['_base_/movenet-multipose_coco-384x384.py']
