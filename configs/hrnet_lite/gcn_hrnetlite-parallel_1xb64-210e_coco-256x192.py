# Unit and graph network side by side, added (the founding notebook's idea 1, never run there).
# Ours to define, and small: 256 numbers per joint. Lighter than plain SimCC.
_base_ = ['../_base_/simcc_hrnetlite_coco_256x192.py']

model = dict(
    head=dict(
        embed=dict(dim=256, norm='scale'),
        gau=dict(expansion=2, attention='softmax_plus'),
        gcn_parallel=dict(hidden_dim=128),
    )
)
