# HRNet-W32 without its stage 4, heatmaps, 7,686,193 parameters. The founding notebook has its
# result in a lost figure only. For scale: HRNet-W32, AP 74.6 in MMPose's model zoo.
_base_ = ['_base_/heatmap-hrnetlite_coco-256x192.py']
