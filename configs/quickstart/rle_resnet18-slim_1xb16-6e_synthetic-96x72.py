# The model of `rlepose quickstart`, trained after the SimCC warm-up beside this file.
_base_ = ['../_base_/rle_synthetic_96x72.py']
