# SimDR* on HRNet-W32, 31,289,521 parameters. Aim: no published figure
# (without the star: 75.3).
_base_ = ['_base_/simdr-star_coco-256x192.py']
