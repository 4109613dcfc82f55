"""LIP, "Look into Person": one person per image, 16 joints. What the joints are.

The only place in the package with LIP's joint order; the converter, the metric, the drawing and
(held together by a test) the metainfo of ``configs/_base_/datasets/lip_topdown.py`` follow it.

Source: Gong et al., *Look into Person: Self-supervised Structure-sensitive Learning and a New
Benchmark for Human Parsing*, CVPR 2017; the poses came with Liang et al., *Look into Person:
Joint Body Parsing & Pose Estimation Network and a New Benchmark*, TPAMI 2018.
"""

# "Right" is the person's right. The order is MPII's.
JOINTS = (
    'right_ankle',
    'right_knee',
    'right_hip',
    'left_hip',
    'left_knee',
    'left_ankle',
    'pelvis',
    'spine',
    'neck',
    'head_top',
    'right_wrist',
    'right_elbow',
    'right_shoulder',
    'left_shoulder',
    'left_elbow',
    'left_wrist',
)
NUM_JOINTS = len(JOINTS)
NECK, HEAD = JOINTS.index('neck'), JOINTS.index('head_top')

# Joints that change places when the image is mirrored; the other four stay.
FLIP_PAIRS = ((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13))

SKELETON = (
    (0, 1),
    (1, 2),
    (2, 6),
    (5, 4),
    (4, 3),
    (3, 6),
    (6, 7),
    (7, 8),
    (8, 9),
    (8, 12),
    (12, 11),
    (11, 10),
    (8, 13),
    (13, 14),
    (14, 15),
)

# Columns of published tables: the mean over the joints named, each with its own percentage.
COLUMNS = {
    'Head': (8, 9),
    'Shoulder': (12, 13),
    'Elbow': (11, 14),
    'Wrist': (10, 15),
    'Hip': (2, 3),
    'Knee': (1, 4),
    'Ankle': (0, 5),
}
# Columns over all points of some joints together.
POOLED = {
    'U.Body': tuple(range(8, 16)),
    # without pelvis and spine
    'Total': (0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15),
}
