"""Metainfo of a data set with five joints."""

_left, _right, _middle = [0, 255, 0], [255, 128, 0], [51, 153, 255]

dataset_info = dict(
    dataset_name='puppets',
    paper_info=dict(author='', title='', container='', year='', homepage=''),
    # in the order of the annotations; swap: what the joint becomes in a mirrored image
    keypoint_info={
        0: dict(name='head', id=0, color=_middle, type='upper', swap=''),
        1: dict(name='left_hand', id=1, color=_left, type='upper', swap='right_hand'),
        2: dict(name='right_hand', id=2, color=_right, type='upper', swap='left_hand'),
        3: dict(name='left_foot', id=3, color=_left, type='lower', swap='right_foot'),
        4: dict(name='right_foot', id=4, color=_right, type='lower', swap='left_foot'),
    },
    skeleton_info={
        0: dict(link=('head', 'left_hand'), id=0, color=_left),
        1: dict(link=('head', 'right_hand'), id=1, color=_right),
        2: dict(link=('head', 'left_foot'), id=2, color=_left),
        3: dict(link=('head', 'right_foot'), id=3, color=_right),
    },
    joint_weights=[1.0] * 5,
    # for OKS; PCK does not use them
    sigmas=[0.079, 0.062, 0.062, 0.089, 0.089],
)
