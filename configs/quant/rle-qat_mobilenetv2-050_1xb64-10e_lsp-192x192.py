# RLE, MobileNetV2 0.5x on LSP, in 8 bit: the first epoch sets ranges, nine train with them fixed.
_base_ = ['../rle/_base_/rle_lsp-192x192.py']

load_from = 'work_dirs/rle_mobilenetv2-050_1xb64-20e_lsp-192x192/epoch_20.pth'
model = dict(
    type='rlepose_ext.QuantPoseEstimator',
    quant=dict(stage='qat', batches=37),
    head=dict(split=True),
)

train_cfg = dict(max_epochs=10)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=10,
        T_max=10,
        eta_min=0.0,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
