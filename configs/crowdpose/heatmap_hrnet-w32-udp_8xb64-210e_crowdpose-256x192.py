# HRNet-w32 with UDP, trained and tested on CrowdPose's 14 joints. Aim: no published figure
# (without UDP: AP 67.5, MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_udp-8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])

dataset_type = 'CrowdPoseDataset'
data_root = 'data/crowdpose/'
annotations = 'annotations/mmpose_crowdpose_{}.json'
boxes = data_root + 'annotations/det_for_crowd_test_0.1_0.5.json'
data = dict(type=dataset_type, data_root=data_root, data_prefix=dict(img='images/'))

default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP'))
model = dict(head=dict(out_channels=14))
train_dataloader = dict(dataset=dict(ann_file=annotations.format('trainval'), **data))
val_dataloader = dict(dataset=dict(ann_file=annotations.format('test'), bbox_file=boxes, **data))
test_dataloader = val_dataloader
# CrowdPose has no areas: 0.53 of the box stands for them.
crowd = dict(
    ann_file=data_root + annotations.format('test'), use_area=False, iou_type='keypoints_crowd'
)
val_evaluator = dict(type='CocoMetric', prefix='crowdpose', **crowd)
twelve = dict(  # what COCO's models can be compared with
    type='rlepose_ext.JointSubsetCocoMetric',
    gt_metainfo=dict(from_file='configs/_base_/datasets/crowdpose.py'),
    exclude=['top_head', 'neck'],
    prefix='crowdpose12',
)
test_evaluator = [val_evaluator, dict(twelve, **crowd)]
