# PoseFix on COCO: an image and a pose in, the pose corrected out. Adam 5e-4, 140 epochs, the rate
# times 0.1 after 90 and 120, 2 x 16 crops: the authors' recipe. `rlepose posefix prepare MODEL`
# writes the poses.
_base_ = [
    '../../_base_/runtime.py',
    '../../_base_/datasets/coco_topdown.py',
    '../../_base_/schedules/multistep-210e.py',
]

train_cfg = dict(max_epochs=140)
# Decay on the kernels of convolutions alone.
optim_wrapper = dict(
    optimizer=dict(weight_decay=1e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=140, milestones=[90, 120], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=32)

codec = dict(
    type='rlepose_ext.PoseFixLabel', input_size=(192, 256), heatmap_size=(48, 64), sigma=7.0
)

model = dict(
    type='rlepose_ext.PoseFixEstimator',
    # BGR in grey levels less the means in the authors' order, which is that of RGB.
    data_preprocessor=dict(
        type='rlepose_ext.PoseFixPreprocessor',
        mean=[123.68, 116.78, 103.94],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        sigma=codec['sigma'],
    ),
    backbone=dict(
        type='rlepose_ext.PoseFixResNet',
        depth=50,
        in_channels=20,
        norm_cfg=dict(type='BN', eps=1e-9, momentum=0.01),
    ),
    head=dict(type='rlepose_ext.PoseFixHead', in_channels=2048, out_channels=17, decoder=codec),
    test_cfg=dict(flip_test=True, keep_within=2.0),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxTransform',
        shift_prob=0.0,
        scale_factor=(0.7, 1.3),
        rotate_factor=40.0,
        rotate_prob=0.6,
    ),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='rlepose_ext.SynthesizePoseErrors'),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
# The keypoints of a test are those of the input pose, which is packed by GenerateTarget.
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]

_poses = '{{$RLEPOSE_DATA:data}}/coco/input_poses/'
_data = dict(type='rlepose_ext.PoseFixDataset')
train_dataloader = dict(
    batch_size=16,
    dataset=dict(pose_file=f'{_poses}train2017.json', pipeline=train_pipeline, **_data),
)
val_dataloader = dict(
    dataset=dict(pose_file=f'{_poses}val2017.json', bbox_file=None, pipeline=val_pipeline, **_data),
)
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# A pose keeps its score. AP of the poses as they were given is beside it, as input/AP.
_after = dict(
    type='CocoMetric',
    ann_file='{{$RLEPOSE_DATA:data}}/coco/annotations/person_keypoints_val2017.json',
    score_mode='bbox',
)
val_evaluator = [_after, dict(_after, type='rlepose_ext.InputPoseCocoMetric')]
test_evaluator = val_evaluator
del _poses, _data, _after  # else they become keys of the config
