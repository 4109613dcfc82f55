# The notebook's "w32_gg": the head of "gaugcn" on the whole HRNet-W32. 41,070,662 parameters
# that run; its own count, 44,619,901, has 3,549,239 unused ones. No number in the notebook.
_base_ = ['../simcc/_base_/simdr-star_coco-256x192.py']

train_dataloader = dict(batch_size=56)
auto_scale_lr = dict(base_batch_size=224)

model = dict(
    head=dict(
        _delete_=True,
        type='rlepose_ext.TokenSimCCHead',
        in_channels=32,
        out_channels=17,
        input_size=_base_.codec['input_size'],
        in_featuremap_size=(48, 64),
        simcc_split_ratio=_base_.codec['simcc_split_ratio'],
        blocks=[
            dict(type='ScaleNormLinear', dim=512),
            dict(type='GAU', expansion_dim=3072, attention='softmax_plus'),
        ],
        classifier=dict(type='SemGCN', hidden_dim=512),
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=_base_.codec,
    ),
)
