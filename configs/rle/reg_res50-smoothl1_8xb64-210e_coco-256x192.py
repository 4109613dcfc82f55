# Plain regression with a smooth L1 loss: what RLE is compared with. Aim: AP 54.1
# (MMPose's model zoo).
_base_ = ['_base_/rle_coco-256x192.py']

optim_wrapper = dict(optimizer=dict(lr=5e-4))
model = dict(
    head=dict(
        _delete_=True,
        type='RegressionHead',
        in_channels=2048,
        num_joints=17,
        loss=dict(type='SmoothL1Loss', use_target_weight=True),
        decoder=_base_.codec,
    )
)

# No sigma, hence no joint scores: persons are ranked by their boxes' scores alone.
val_evaluator = dict(score_mode='bbox_keypoint')
test_evaluator = val_evaluator
