# COCO 2017 three times (149,813 persons) and AI Challenger once (378,352) for training;
# evaluation as coco_topdown.py. The method adds the pipelines.
_base_ = []  # above the import, else MMEngine takes the file for one of its lazy configs

import os

data_root = '{{$RLEPOSE_DATA:data}}/coco/'
dataset_type = 'CocoDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

# The folder is called after the archive, of which there are two names.
_aic = '{{$RLEPOSE_DATA:data}}/aic/'
_aic_images = 'ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902/'
if os.path.isdir(f'{_aic}ai_challenger_keypoint_train_20170909'):
    _aic_images = _aic_images.replace('train_20170902', 'train_20170909', 1)

train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        # Every person of COCO three times in an epoch, every one of AIC once.
        sample_ratio_factor=[3.0, 1.0],
        datasets=[
            dict(
                type='CocoDataset',
                data_root=data_root,
                data_mode='topdown',
                ann_file='annotations/person_keypoints_train2017.json',
                data_prefix=dict(img='train2017/'),
                pipeline=[],
            ),
            dict(
                type='AicDataset',
                data_root=_aic,
                data_mode='topdown',
                ann_file='annotations/aic_train.json',
                data_prefix=dict(img=_aic_images),
                # AIC's 14 joints in COCO's order; its head top and neck are left out, and
                # COCO's face joints get weight 0.
                pipeline=[
                    dict(
                        type='KeypointConverter',
                        num_keypoints=17,
                        mapping=[
                            (0, 6), (1, 8), (2, 10), (3, 5), (4, 7), (5, 9),
                            (6, 12), (7, 14), (8, 16), (9, 11), (10, 13), (11, 15),
                        ],
                    ),
                ],
            ),
        ],
    ),
)  # fmt: skip
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/person_keypoints_val2017.json',
        bbox_file=f'{data_root}person_detection_results/'
        'COCO_val2017_detections_AP_H_56_person.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric',
    ann_file=f'{data_root}annotations/person_keypoints_val2017.json',
    score_mode='bbox_keypoint',
)
test_evaluator = val_evaluator

del _aic, _aic_images  # else they become keys of the config
