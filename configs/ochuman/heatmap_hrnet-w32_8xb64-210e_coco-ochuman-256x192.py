# HRNet-W32, trained on COCO and tested on OCHuman with the boxes of its annotations.
# Aim: AP 59.1 on the test split (MMPose's model zoo of version 0.x).
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])

test_dataloader = dict(
    dataset=dict(
        type='OCHumanDataset',
        data_root='data/ochuman/',
        ann_file='annotations/ochuman_coco_format_test_range_0.00_1.00.json',
        bbox_file=None,
        data_prefix=dict(img='images/'),
    )
)
test_evaluator = dict(
    ann_file='data/ochuman/annotations/ochuman_coco_format_test_range_0.00_1.00.json',
    prefix='ochuman',
)
