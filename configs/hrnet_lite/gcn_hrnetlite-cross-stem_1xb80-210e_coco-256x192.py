# Cross-attention: the query of the unit is a graph network over the map of the stem, 64 channels
# (the founding notebook's idea 2, "gaugcn2"). Its number is in a lost figure.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

train_dataloader = dict(batch_size=80)
auto_scale_lr = dict(base_batch_size=80)

model = dict(
    backbone=dict(taps=['stem']),
    head=dict(
        blocks=[
            dict(type='ScaleNormLinear', dim=512),
            dict(
                type='CrossGAU',
                expansion_dim=3072,
                attention='softmax_plus',
                query=dict(source=0, in_channels=64, hidden_dim=512),
            ),
        ],
        classifier=dict(type='SemGCN', hidden_dim=512),
    ),
)
