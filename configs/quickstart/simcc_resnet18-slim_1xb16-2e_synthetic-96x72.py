# Warm-up of `rlepose quickstart`: two epochs of per-axis classification, from which the
# backbone learns where joints are. Its head is thrown away; RLE goes on with the backbone.
_base_ = ['../_base_/rle_synthetic_96x72.py']

train_cfg = dict(max_epochs=2, val_interval=10)
param_scheduler = [dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False)]

simcc = dict(type='SimCCLabel', input_size=(72, 96), sigma=4.9, simcc_split_ratio=2.0)

model = dict(
    head=dict(
        _delete_=True,
        type='SimCCHead',
        in_channels=128,
        out_channels=17,
        input_size=simcc['input_size'],
        in_featuremap_size=(5, 6),
        simcc_split_ratio=simcc['simcc_split_ratio'],
        deconv_out_channels=None,
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=simcc,
    ),
)
train_pipeline = _base_.train_pipeline
train_pipeline[-2] = dict(type='GenerateTarget', encoder=simcc)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
