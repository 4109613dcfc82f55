# The notebook's "gaugcn6": as gaugcn5 with ScaleNorm, and the query of the unit from the third
# input of stage 3 as in gaugcn3. No number in the notebook.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

train_dataloader = dict(batch_size=80)
auto_scale_lr = dict(base_batch_size=80)

model = dict(
    backbone=dict(taps=['stage3_input2']),
    head=dict(
        blocks=[
            dict(type='ScaleNormLinear', dim=256),
            dict(
                type='CrossGAU',
                expansion_dim=512,
                attention='softmax_plus',
                query=dict(source=0, in_channels=128, downscale=4, hidden_dim=512),
            ),
        ],
        classifier=dict(type='SemGCN', hidden_dim=512),
    ),
)
