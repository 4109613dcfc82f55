# HRNet-w32, trained on COCO, tested on CrowdPose over the 12 joints that both have.
# Aim: no published figure; README.md says what this AP can be compared with.
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])

# From CrowdPose's 14 joints to the model's 17; it is for boxes of the annotations only.
_converter = dict(
    type='KeypointConverter', num_keypoints=17, mapping=[(i, i + 5) for i in range(12)]
)
test_dataloader = dict(
    dataset=dict(
        data_root='data/crowdpose/',
        ann_file='annotations/mmpose_crowdpose_test.json',
        bbox_file='data/crowdpose/annotations/det_for_crowd_test_0.1_0.5.json',
        data_prefix=dict(img='images/'),
        pipeline=[_base_.val_pipeline[0], _converter, *_base_.val_pipeline[1:]],
    )
)
test_evaluator = dict(
    type='rlepose_ext.JointSubsetCocoMetric',
    ann_file='data/crowdpose/annotations/mmpose_crowdpose_test.json',
    gt_metainfo=dict(from_file='configs/_base_/datasets/crowdpose.py'),
    use_area=False,
    iou_type='keypoints_crowd',
    prefix='crowdpose12',
)
del _converter  # else it becomes a key of the config
