# The same, trained on three times COCO (149,813 persons) and once AI Challenger (378,352).
_base_ = ['./rle_coco_192x192.py']

# Behind _base_, else MMEngine takes the file for a config of its other kind.
import os  # noqa: E402

# The folder is called after the archive, of which there are two names.
aic = '{{$RLEPOSE_DATA:data}}/aic/'
aic_images = 'ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902/'
if os.path.isdir(f'{aic}ai_challenger_keypoint_train_20170909'):
    aic_images = aic_images.replace('train_20170902', 'train_20170909', 1)

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        pipeline=_base_.train_pipeline,
        # Every person of COCO three times in an epoch, every one of AIC once.
        sample_ratio_factor=[3.0, 1.0],
        datasets=[
            dict(
                type='CocoDataset',
                data_root='{{$RLEPOSE_DATA:data}}/coco/',
                data_mode='topdown',
                ann_file='annotations/person_keypoints_train2017.json',
                data_prefix=dict(img='train2017/'),
                pipeline=[],
            ),
            dict(
                type='AicDataset',
                data_root=aic,
                data_mode='topdown',
                ann_file='annotations/aic_train.json',
                data_prefix=dict(img=aic_images),
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
