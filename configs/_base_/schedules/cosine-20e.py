# 20 epochs along a cosine: fine-tuning on a few thousand images, minutes to an hour on a CPU.
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=5)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.001, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=20,
        T_max=20,
        eta_min=0.0,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=64)
