# RLE on MoveNet Lightning's backbone and pyramid with Google's weights, fine-tuned on LSP. The file
# is a copy of what `rlepose weights movenet-lightning` prints. Aim: PCK@0.2 of 0.89.
_base_ = ['_base_/rle_lsp-192x192.py']

_google = dict(type='Pretrained', checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/movenet-lightning.pth')
model = dict(
    data_preprocessor=dict(mean=[127.502] * 3, std=[127.502] * 3),
    backbone=dict(
        _delete_=True,
        type='rlepose_ext.MoveNetBackbone',
        arch='lightning',
        init_cfg=dict(prefix='backbone.', **_google),
    ),
    neck=dict(
        _delete_=True,
        type='rlepose_ext.MoveNetFeatures',
        in_channels=(24, 32, 64, 1280),
        init_cfg=dict(prefix='neck.', **_google),
    ),
    head=dict(in_channels=1280 + 24 * 8 * 8),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.5)}))
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='EMAHook', momentum=0.01, update_buffers=True),
]
del _google  # else it becomes a key of the config
