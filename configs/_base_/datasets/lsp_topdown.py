# Leeds Sports Pose (extended), 14 joints, crops around the person:
# lsp/{lsp_train.json, lsp_val.json, images/}. The method adds the pipelines.
data_root = '{{$RLEPOSE_DATA:data}}/lsp/'
dataset_type = 'CocoDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

_left, _right, _middle = [0, 255, 0], [255, 128, 0], [51, 153, 255]
metainfo = dict(
    dataset_name='lsp14',
    paper_info=dict(
        author='Johnson, Sam and Everingham, Mark',
        title='Learning effective human pose estimation from inaccurate annotation',
        container='CVPR',
        year='2011',
        homepage='https://sam.johnson.io/research/lspet.html',
    ),
    keypoint_info={
        0: dict(name='right_ankle', id=0, color=_right, type='lower', swap='left_ankle'),
        1: dict(name='right_knee', id=1, color=_right, type='lower', swap='left_knee'),
        2: dict(name='right_hip', id=2, color=_right, type='lower', swap='left_hip'),
        3: dict(name='left_hip', id=3, color=_left, type='lower', swap='right_hip'),
        4: dict(name='left_knee', id=4, color=_left, type='lower', swap='right_knee'),
        5: dict(name='left_ankle', id=5, color=_left, type='lower', swap='right_ankle'),
        6: dict(name='right_wrist', id=6, color=_right, type='upper', swap='left_wrist'),
        7: dict(name='right_elbow', id=7, color=_right, type='upper', swap='left_elbow'),
        8: dict(name='right_shoulder', id=8, color=_right, type='upper', swap='left_shoulder'),
        9: dict(name='left_shoulder', id=9, color=_left, type='upper', swap='right_shoulder'),
        10: dict(name='left_elbow', id=10, color=_left, type='upper', swap='right_elbow'),
        11: dict(name='left_wrist', id=11, color=_left, type='upper', swap='right_wrist'),
        12: dict(name='neck', id=12, color=_middle, type='upper', swap=''),
        13: dict(name='head_top', id=13, color=_middle, type='upper', swap=''),
    },
    skeleton_info={
        0: dict(link=('right_ankle', 'right_knee'), id=0, color=_right),
        1: dict(link=('right_knee', 'right_hip'), id=1, color=_right),
        2: dict(link=('left_hip', 'left_knee'), id=2, color=_left),
        3: dict(link=('left_knee', 'left_ankle'), id=3, color=_left),
        4: dict(link=('right_hip', 'left_hip'), id=4, color=_middle),
        5: dict(link=('right_wrist', 'right_elbow'), id=5, color=_right),
        6: dict(link=('right_elbow', 'right_shoulder'), id=6, color=_right),
        7: dict(link=('left_shoulder', 'left_elbow'), id=7, color=_left),
        8: dict(link=('left_elbow', 'left_wrist'), id=8, color=_left),
        9: dict(link=('right_shoulder', 'neck'), id=9, color=_middle),
        10: dict(link=('left_shoulder', 'neck'), id=10, color=_middle),
        11: dict(link=('neck', 'head_top'), id=11, color=_middle),
        12: dict(link=('right_shoulder', 'right_hip'), id=12, color=_middle),
        13: dict(link=('left_shoulder', 'left_hip'), id=13, color=_middle),
    },
    joint_weights=[1.0] * 14,
    # Not part of LSP: COCO's, and CrowdPose's for neck and head top. PCK does not use them.
    sigmas=[
        0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.062,
        0.072, 0.079, 0.079, 0.072, 0.062, 0.079, 0.079,
    ],
)  # fmt: skip

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_mode='topdown',
        ann_file='lsp_train.json',
        data_prefix=dict(img='images/'),
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_mode='topdown',
        ann_file='lsp_val.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

# Right within 0.2, 0.1, 0.05 of the longer side of the person's box.
val_evaluator = [
    dict(type='PCKAccuracy', thr=0.2, norm_item='bbox', prefix='PCK@0.2'),
    dict(type='PCKAccuracy', thr=0.1, norm_item='bbox', prefix='PCK@0.1'),
    dict(type='PCKAccuracy', thr=0.05, norm_item='bbox', prefix='PCK@0.05'),
]
test_evaluator = val_evaluator

del _left, _right, _middle  # else they become keys of the config
