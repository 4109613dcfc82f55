# PoseFix with ResNet-50 on CrowdPose's 14 joints. Aim: no published figure.
_base_ = ['_base_/posefix_coco-256x192.py']

model = dict(
    backbone=dict(
        in_channels=17, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')
    ),
    head=dict(out_channels=14),
)

data_root = '{{$RLEPOSE_DATA:data}}/crowdpose/'
_train, _test = (f'annotations/mmpose_crowdpose_{split}.json' for split in ('trainval', 'test'))
_data = dict(
    metainfo=dict(from_file='configs/_base_/datasets/crowdpose.py'),
    data_root=data_root,
    data_prefix=dict(img='images/'),
)
_poses = f'{data_root}input_poses/'
train_dataloader = dict(dataset=dict(ann_file=_train, pose_file=f'{_poses}trainval.json', **_data))
val_dataloader = dict(dataset=dict(ann_file=_test, pose_file=f'{_poses}test.json', **_data))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP'))
# CrowdPose has no areas: 0.53 of the box stands for them.
_crowd = dict(ann_file=data_root + _test, use_area=False, iou_type='keypoints_crowd')
_after = dict(_base_.val_evaluator[0], prefix='crowdpose', **_crowd)
val_evaluator = [_after, dict(_base_.val_evaluator[1], **_crowd)]
test_evaluator = val_evaluator
del _train, _test, _data, _poses, _crowd, _after  # else they become keys of the config
