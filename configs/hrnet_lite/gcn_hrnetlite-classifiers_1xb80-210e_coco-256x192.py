# Graph networks in place of the linear classifiers, behind the narrow unit (the notebook's
# "gaugcn"). Its number is in a lost figure.
_base_ = ['../_base_/simcc_hrnetlite_coco_256x192.py']

train_dataloader = dict(batch_size=80)
auto_scale_lr = dict(base_batch_size=80)

model = dict(
    head=dict(
        embed=dict(dim=512, norm='scale'),
        gau=dict(expansion_dim=3072, attention='softmax_plus'),
        classifiers=dict(hidden_dim=512),
    )
)
