# Graph networks in place of the linear classifiers, behind the narrow unit (the notebook's
# "gaugcn"). Its number is in a lost figure.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

train_dataloader = dict(batch_size=80)
auto_scale_lr = dict(base_batch_size=80)

model = dict(
    head=dict(
        blocks=[
            dict(type='ScaleNormLinear', dim=512),
            dict(type='GAU', expansion_dim=3072, attention='softmax_plus'),
        ],
        classifier=dict(type='SemGCN', hidden_dim=512),
    )
)
