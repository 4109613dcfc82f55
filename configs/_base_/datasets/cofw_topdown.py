# COFW, 29 landmarks, 1,345 faces for training and 507 for the test, many occluded, in MMPose's
# layout: cofw/annotations/cofw_{train,test}.json, cofw/images/. The method adds the pipelines.
data_root = '{{$RLEPOSE_DATA:data}}/cofw/'
dataset_type = 'COFWDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/cofw_train.json',
        data_prefix=dict(img='images/'),
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/cofw_test.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

# In units of the distance between the outer corners of the eyes, landmarks 8 and 9.
val_evaluator = dict(type='NME', norm_mode='keypoint_distance')
test_evaluator = val_evaluator
