# SKPS, HRNetV2-w18, WFLW. Aim: NME of 3.88 % on the test set, the figure that MMPose's
# projects/skps/README.md reports; its subsets: pose 6.60, illumination 3.81, occlusion 4.57,
# blur 4.44, makeup 3.75, expression 4.13. Plain heatmaps on this backbone: 4.06 (MMPose's zoo).
_base_ = ['_base_/skps_wflw-256x256.py']
