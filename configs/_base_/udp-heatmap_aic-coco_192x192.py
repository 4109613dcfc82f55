# Unbiased heatmaps (UDP) at 192x192 on AI Challenger and COCO: from ImageNet to the backbones that
# MMPose_Clean's RLE and SimCC start from. Data, augmentation and its milder end are theirs, the
# epochs half.
_base_ = ['./rle_aic-coco_192x192.py']

train_cfg = dict(max_epochs=210)
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

codec = dict(type='UDPHeatmap', input_size=(192, 192), heatmap_size=(48, 48), sigma=2)

model = dict(
    neck=None,
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=1280,
        out_channels=17,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec,
    ),
    # MMPose_Clean tests this stage without the flipped image.
    test_cfg=dict(_delete_=True, flip_test=False, flip_mode='heatmap', shift_heatmap=False),
)

# The base's steps for this codec; its warp of the image counts px from centre to centre.
steps = dict(
    TopdownAffine=dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    GenerateTarget=dict(type='GenerateTarget', encoder=codec),
)
train_pipeline = [steps.get(step['type'], step) for step in _base_.train_pipeline]
train_pipeline_stage2 = [steps.get(step['type'], step) for step in _base_.train_pipeline_stage2]
val_pipeline = [steps.get(step['type'], step) for step in _base_.val_pipeline]
del steps  # else it becomes a key of the config

train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=180,
        switch_pipeline=train_pipeline_stage2,
    ),
]
