# WFLW, 98 landmarks, 7,500 faces for training and 2,500 for the test, in MMPose's layout:
# wflw/annotations/face_landmarks_wflw_{train,test}.json, wflw/images/. The files of the six
# subsets, face_landmarks_wflw_test_*.json, lie beside; one that is missing is named and
# skipped. The method adds the pipelines.
data_root = '{{$RLEPOSE_DATA:data}}/wflw/'
dataset_type = 'WFLWDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/face_landmarks_wflw_train.json',
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
        ann_file='annotations/face_landmarks_wflw_test.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

# In units of the distance between the outer corners of the eyes, landmarks 60 and 72.
val_evaluator = dict(
    type='rlepose_ext.WFLWSubsetNME',
    subsets=dict(
        pose=data_root + 'annotations/face_landmarks_wflw_test_largepose.json',
        illumination=data_root + 'annotations/face_landmarks_wflw_test_illumination.json',
        occlusion=data_root + 'annotations/face_landmarks_wflw_test_occlusion.json',
        blur=data_root + 'annotations/face_landmarks_wflw_test_blur.json',
        makeup=data_root + 'annotations/face_landmarks_wflw_test_makeup.json',
        expression=data_root + 'annotations/face_landmarks_wflw_test_expression.json',
    ),
)
test_evaluator = val_evaluator
