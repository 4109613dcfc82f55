# Heatmaps on MobileNetV2 at 192x192 on COCO alone: MMPose_Clean's first stage after ImageNet.
_base_ = ['./rle-210e_coco_192x192.py']

optim_wrapper = dict(optimizer=dict(lr=5e-4))

codec = dict(type='MSRAHeatmap', input_size=(192, 192), heatmap_size=(48, 48), sigma=2)

model = dict(
    backbone=dict(_delete_=True, type='MobileNetV2', widen_factor=0.5, out_indices=(7,)),
    neck=None,
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=1280,
        out_channels=17,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True, flip_mode='heatmap', shift_heatmap=True),
)

# The base's steps for this codec.
steps = dict(GenerateTarget=dict(type='GenerateTarget', encoder=codec))
train_pipeline = [steps.get(step['type'], step) for step in _base_.train_pipeline]
del steps  # else it becomes a key of the config

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(score_mode='bbox_keypoint')
test_evaluator = val_evaluator
