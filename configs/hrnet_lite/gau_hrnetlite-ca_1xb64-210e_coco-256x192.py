# "Superlite" with coordinate attention before the unit: 53 parameters more. The founding
# notebook saw hardly a gain after 250 epochs; its number is in a lost figure.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(
    head=dict(
        blocks=[
            dict(type='CoordAttention', reduction=16),
            dict(type='GAU', expansion=2, attention='softmax_plus'),
        ]
    )
)
