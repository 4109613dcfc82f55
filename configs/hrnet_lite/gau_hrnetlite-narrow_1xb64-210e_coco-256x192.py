# The unit at 512 numbers per joint instead of 3072: ScaleNorm and a projection first. A fifth
# of "superlite"'s parameters. No number in the founding notebook.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(
    head=dict(
        blocks=[
            dict(type='ScaleNormLinear', dim=512),
            dict(type='GAU', expansion_dim=3072, attention='softmax_plus'),
        ]
    )
)
