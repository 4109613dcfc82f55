# SKPS, HRNetV2-w18, COFW. Aim: NME of 3.20 % on the test set, the figure that MMPose's
# projects/skps/README.md reports. Plain heatmaps on this backbone: 3.48 (MMPose's zoo).
_base_ = ['_base_/skps_cofw-256x256.py']
