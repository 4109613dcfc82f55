# The model of `rlepose quickstart`, trained after the SimCC warm-up beside this file, whose
# checkpoint it starts from; from random weights where none is named.
_base_ = ['_base_/rle_synthetic-96x72.py']

load_from = '{{$RLEPOSE_QUICKSTART_START:none}}'
if load_from == 'none':
    load_from = None
