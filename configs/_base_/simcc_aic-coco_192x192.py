# SimCC without deconvolutions on MobileNetV2 0.75x at 192x192, AI Challenger and COCO. Data,
# augmentation and schedule are those of RLE on the same data; a batch has 128 persons.
_base_ = ['./rle_aic-coco_192x192.py']

# The norm is that of a loss which sums over the batch: on several GPUs each has 128 persons.
optim_wrapper = dict(clip_grad=dict(max_norm=10))
auto_scale_lr = dict(base_batch_size=128)

codec = dict(
    type='SimCCLabel',
    input_size=(192, 192),
    sigma=(4.9, 4.9),
    simcc_split_ratio=2.0,
    normalize=False,
    use_dark=False,
)

model = dict(
    backbone=dict(widen_factor=0.75),
    neck=None,
    head=dict(
        _delete_=True,
        type='SimCCHead',
        in_channels=1280,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=tuple([s // 32 for s in codec['input_size']]),
        simcc_split_ratio=codec['simcc_split_ratio'],
        deconv_out_channels=None,
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True),
)

# The base's steps for this codec.
steps = dict(GenerateTarget=dict(type='GenerateTarget', encoder=codec))
train_pipeline = [steps.get(step['type'], step) for step in _base_.train_pipeline]
train_pipeline_stage2 = [steps.get(step['type'], step) for step in _base_.train_pipeline_stage2]
del steps  # else it becomes a key of the config

train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))

custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=390,
        switch_pipeline=train_pipeline_stage2,
    ),
]
