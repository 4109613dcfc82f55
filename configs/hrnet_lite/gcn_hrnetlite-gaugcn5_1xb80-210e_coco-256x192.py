# The notebook's "gaugcn5": 256 numbers per joint, a small unit, graph networks as classifiers.
# No number in the notebook.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

train_dataloader = dict(batch_size=80)
auto_scale_lr = dict(base_batch_size=80)

model = dict(
    head=dict(
        blocks=[
            dict(type='Linear', dim=256, bias=False),
            dict(type='GAU', expansion_dim=512, attention='softmax_plus'),
        ],
        classifier=dict(type='SemGCN', hidden_dim=512),
    )
)
