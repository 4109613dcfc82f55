# The same on COFW: 29 landmarks, 1,345 faces for training and 507 for the test, many occluded,
# in MMPose's layout: cofw/annotations/cofw_{train,test}.json, cofw/images/. Faces fill the
# crop, and their scale is left alone.
_base_ = ['./skps_wflw_256x256.py']

data_root = '{{$RLEPOSE_DATA:data}}/cofw/'
dataset_type = 'COFWDataset'

train_cfg = dict(max_epochs=160)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(type='MultiStepLR', begin=0, end=160, milestones=[80, 120], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=16)

model = dict(head=dict(out_channels=29))

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.0),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, rotate_factor=45, scale_prob=0.0),
    dict(type='TopdownAffine', input_size=_base_.codec['input_size']),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='rlepose_ext.RandomBlur', prob=0.5),
    dict(type='rlepose_ext.RandomErase', prob=0.5, holes=(1, 8), size=(0.1, 0.2)),
    dict(type='GenerateTarget', encoder=_base_.codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.0),
    dict(type='TopdownAffine', input_size=_base_.codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/cofw_train.json',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/cofw_test.json',
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

# In units of the distance between the outer corners of the eyes, landmarks 8 and 9.
val_evaluator = dict(_delete_=True, type='NME', norm_mode='keypoint_distance')
test_evaluator = val_evaluator
