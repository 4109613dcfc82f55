# 210 epochs, the second half of them along a cosine: MMPose_Clean's schedule for UDP heatmaps.
train_cfg = dict(by_epoch=True, max_epochs=210, val_interval=10)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.0))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=1000, start_factor=1e-5, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=105,
        end=210,
        T_max=105,
        eta_min=2e-4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=128)
