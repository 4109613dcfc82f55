# LIP, one person per image, 16 joints, 30,462 images for training and 10,000 for validation:
# lip/annotations/lip_{train,val}.json, lip/{train,val}_images/. `rlepose convert lip` makes the
# json from LIP's csv. The method adds the pipelines.
data_root = '{{$RLEPOSE_DATA:data}}/lip/'
dataset_type = 'CocoDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

_left, _right, _middle = [0, 255, 0], [255, 128, 0], [51, 153, 255]
metainfo = dict(
    dataset_name='lip',
    paper_info=dict(
        author='Liang, Xiaodan and Gong, Ke and Shen, Xiaohui and Lin, Liang',
        title='Look into person: Joint body parsing & pose estimation network and a new benchmark',
        container='IEEE TPAMI',
        year='2018',
        homepage='http://sysu-hcp.net/lip/overview.php',
    ),
    keypoint_info={
        0: dict(name='right_ankle', id=0, color=_right, type='lower', swap='left_ankle'),
        1: dict(name='right_knee', id=1, color=_right, type='lower', swap='left_knee'),
        2: dict(name='right_hip', id=2, color=_right, type='lower', swap='left_hip'),
        3: dict(name='left_hip', id=3, color=_left, type='lower', swap='right_hip'),
        4: dict(name='left_knee', id=4, color=_left, type='lower', swap='right_knee'),
        5: dict(name='left_ankle', id=5, color=_left, type='lower', swap='right_ankle'),
        6: dict(name='pelvis', id=6, color=_middle, type='lower', swap=''),
        7: dict(name='spine', id=7, color=_middle, type='upper', swap=''),
        8: dict(name='neck', id=8, color=_middle, type='upper', swap=''),
        9: dict(name='head_top', id=9, color=_middle, type='upper', swap=''),
        10: dict(name='right_wrist', id=10, color=_right, type='upper', swap='left_wrist'),
        11: dict(name='right_elbow', id=11, color=_right, type='upper', swap='left_elbow'),
        12: dict(name='right_shoulder', id=12, color=_right, type='upper', swap='left_shoulder'),
        13: dict(name='left_shoulder', id=13, color=_left, type='upper', swap='right_shoulder'),
        14: dict(name='left_elbow', id=14, color=_left, type='upper', swap='right_elbow'),
        15: dict(name='left_wrist', id=15, color=_left, type='upper', swap='right_wrist'),
    },
    skeleton_info={
        0: dict(link=('right_ankle', 'right_knee'), id=0, color=_right),
        1: dict(link=('right_knee', 'right_hip'), id=1, color=_right),
        2: dict(link=('right_hip', 'pelvis'), id=2, color=_right),
        3: dict(link=('left_ankle', 'left_knee'), id=3, color=_left),
        4: dict(link=('left_knee', 'left_hip'), id=4, color=_left),
        5: dict(link=('left_hip', 'pelvis'), id=5, color=_left),
        6: dict(link=('pelvis', 'spine'), id=6, color=_middle),
        7: dict(link=('spine', 'neck'), id=7, color=_middle),
        8: dict(link=('neck', 'head_top'), id=8, color=_middle),
        9: dict(link=('neck', 'right_shoulder'), id=9, color=_right),
        10: dict(link=('right_shoulder', 'right_elbow'), id=10, color=_right),
        11: dict(link=('right_elbow', 'right_wrist'), id=11, color=_right),
        12: dict(link=('neck', 'left_shoulder'), id=12, color=_left),
        13: dict(link=('left_shoulder', 'left_elbow'), id=13, color=_left),
        14: dict(link=('left_elbow', 'left_wrist'), id=14, color=_left),
    },
    joint_weights=[1.0] * 16,
    # Not part of LIP: COCO's, CrowdPose's for neck and head top, a hip's for pelvis and spine.
    # PCKh does not use them.
    sigmas=[
        0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.107, 0.107,
        0.079, 0.079, 0.062, 0.072, 0.079, 0.079, 0.072, 0.062,
    ],
)  # fmt: skip

train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/lip_train.json',
        data_prefix=dict(img='train_images/'),
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
        metainfo=metainfo,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/lip_val.json',
        data_prefix=dict(img='val_images/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

# Right within half of the distance from neck to head top.
val_evaluator = dict(type='rlepose_ext.LIPPCKh', thr=0.5)
test_evaluator = val_evaluator

del _left, _right, _middle  # else they become keys of the config
