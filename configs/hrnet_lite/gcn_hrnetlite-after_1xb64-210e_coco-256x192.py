# Swapped: the unit first, then a graph network over the logits of each axis, hidden width
# twice the bins. No number in the founding notebook.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(
    head=dict(
        blocks=[dict(type='GAU', expansion=2, attention='softmax_plus')],
        logit_blocks=[dict(type='SemGCN', hidden_ratio=2.0)],
    )
)
