# SimDR on HRNet-W32, 31,289,521 parameters. Aim: AP 75.3 (the paper), 74.4 with heatmaps.
_base_ = ['_base_/simdr_coco-256x192.py']
