# Unit and graph network side by side, added (the founding notebook's idea 1, never run there).
# Ours to define, and small: 256 numbers per joint. Lighter than plain SimCC.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(
    head=dict(
        blocks=[
            dict(type='ScaleNormLinear', dim=256),
            dict(
                type='Parallel',
                blocks=[
                    dict(type='GAU', expansion=2, attention='softmax_plus'),
                    dict(type='SemGCN', hidden_dim=128),
                ],
            ),
        ]
    )
)
