# 2,040 faces for training and 432 held out, of other persons, with the 68 landmarks of iBUG
# (frames of YouTube Faces): faces68/{faces68_train.json, faces68_val.json, images/}.
# The method adds the pipelines.
data_root = '{{$RLEPOSE_DATA:data}}/faces68/'
dataset_type = 'CocoDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

# Landmarks follow contours: (first, last, closed). Right and left are the person's.
_contours = [
    (0, 16, False),  # jaw, from the right ear to the left one
    (17, 21, False),  # right brow
    (22, 26, False),  # left brow
    (27, 30, False),  # bridge of the nose
    (31, 35, False),  # its lower edge
    (36, 41, True),  # right eye, from its outer corner
    (42, 47, True),  # left eye, from its inner corner
    (48, 59, True),  # lips, outside
    (60, 67, True),  # lips, inside
]
# The landmark that each becomes in a mirrored face.
_mirror = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip
_links = [
    (i, i + 1 if i < last else first)
    for first, last, closed in _contours
    for i in range(first, last + closed)
]
_right, _left, _middle = [255, 128, 0], [0, 255, 0], [51, 153, 255]
_colors = [
    _right if i in (*range(17, 22), *range(36, 42))
    else _left if i in (*range(22, 27), *range(42, 48))
    else _middle
    for i in range(68)
]  # fmt: skip
metainfo = dict(
    dataset_name='faces68',
    paper_info=dict(
        author='Wolf, Lior and Hassner, Tal and Maoz, Itay',
        title='Face recognition in unconstrained videos with matched background similarity',
        container='CVPR',
        year='2011',
        homepage='https://www.cs.tau.ac.il/~wolf/ytfaces/',
    ),
    keypoint_info={
        i: dict(
            name=f'kpt-{i}',
            id=i,
            color=_colors[i],
            type='',
            swap='' if _mirror[i] == i else f'kpt-{_mirror[i]}',
        )
        for i in range(68)
    },
    skeleton_info={
        number: dict(link=(f'kpt-{a}', f'kpt-{b}'), id=number, color=_colors[a])
        for number, (a, b) in enumerate(_links)
    },
    joint_weights=[1.0] * 68,
    sigmas=[0.025] * 68,  # asked for by MMPose, not used by NME
)

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
        ann_file='faces68_train.json',
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
        ann_file='faces68_val.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

# In units of the distance between the outer corners of the eyes.
val_evaluator = dict(type='NME', norm_mode='keypoint_distance', keypoint_indices=[36, 45])
test_evaluator = val_evaluator

del _contours, _mirror, _links, _right, _left, _middle, _colors  # else keys of the config
