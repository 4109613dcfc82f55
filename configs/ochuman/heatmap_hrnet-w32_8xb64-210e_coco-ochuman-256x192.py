# HRNet-W32, trained on COCO and tested on OCHuman with the boxes of its annotations.
# Aim: AP 59.1 on the test split (MMPose's model zoo of version 0.x).
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])

ochuman = 'data/ochuman/'
annotations = 'annotations/ochuman_coco_format_test_range_0.00_1.00.json'
test_dataloader = dict(
    dataset=dict(
        type='OCHumanDataset',
        data_root=ochuman,
        ann_file=annotations,
        bbox_file=None,
        data_prefix=dict(img='images/'),
    )
)
test_evaluator = dict(ann_file=ochuman + annotations, prefix='ochuman')
