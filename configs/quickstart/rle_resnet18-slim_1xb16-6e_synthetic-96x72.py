# The model of `rlepose quickstart`, trained after the SimCC warm-up beside this file, whose
# checkpoint it starts from; from random weights where none is named.
_base_ = ['../_base_/rle_synthetic_96x72.py']

start = '{{$RLEPOSE_QUICKSTART_START:none}}'
load_from = None if start == 'none' else start
