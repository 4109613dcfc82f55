# Warm-up of `rlepose quickstart`: two epochs of per-axis classification, from which the
# backbone learns where joints are. Its head is thrown away; RLE goes on with the backbone.
_base_ = ['_base_/simcc_synthetic-96x72.py']
