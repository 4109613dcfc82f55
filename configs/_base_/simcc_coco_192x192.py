# SimCC without deconvolutions on MobileNetV2 0.75x at 192x192, COCO alone: MMPose_Clean's
# recipe of 210 epochs.
_base_ = ['./rle-210e_coco_192x192.py']

optim_wrapper = dict(optimizer=dict(lr=5e-4))

codec = dict(type='SimCCLabel', input_size=(192, 192), sigma=6.0, simcc_split_ratio=2.0)

model = dict(
    backbone=dict(_delete_=True, type='MobileNetV2', widen_factor=0.75, out_indices=(7,)),
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
del steps  # else it becomes a key of the config

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(score_mode='bbox_keypoint')
test_evaluator = val_evaluator
