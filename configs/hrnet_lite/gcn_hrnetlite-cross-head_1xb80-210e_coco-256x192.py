# Cross-attention: the query of the unit is a graph network over the head's own tokens
# (the founding notebook's idea 2, "gaugcn4"). Its number is in a lost figure.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

train_dataloader = dict(batch_size=80)
auto_scale_lr = dict(base_batch_size=80)

model = dict(
    head=dict(
        blocks=[
            dict(type='ScaleNormLinear', dim=512),
            dict(
                type='CrossGAU',
                expansion_dim=3072,
                attention='softmax_plus',
                query=dict(source='head', hidden_dim=512),
            ),
        ],
        classifier=dict(type='SemGCN', hidden_dim=512),
    ),
)
