# HRNet-w32 with UDP, trained and tested on CrowdPose's 14 joints. Aim: no published figure
# (without UDP: AP 67.5, MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_udp-8xb64-210e_coco-256x192.py'
)
custom_imports = dict(imports=['rlepose_ext'])

dataset_type = 'CrowdPoseDataset'
data_root = 'data/crowdpose/'
_train, _test = (f'annotations/mmpose_crowdpose_{split}.json' for split in ('trainval', 'test'))
_boxes = f'{data_root}annotations/det_for_crowd_test_0.1_0.5.json'
_data = dict(type=dataset_type, data_root=data_root, data_prefix=dict(img='images/'))

default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP'))
model = dict(head=dict(out_channels=14))
train_dataloader = dict(dataset=dict(ann_file=_train, **_data))
val_dataloader = dict(dataset=dict(ann_file=_test, bbox_file=_boxes, **_data))
test_dataloader = val_dataloader
# CrowdPose has no areas: 0.53 of the box stands for them.
_crowd = dict(ann_file=data_root + _test, use_area=False, iou_type='keypoints_crowd')
val_evaluator = dict(type='CocoMetric', prefix='crowdpose', **_crowd)
_twelve = dict(  # what COCO's models can be compared with
    type='rlepose_ext.JointSubsetCocoMetric',
    gt_metainfo=dict(from_file='configs/_base_/datasets/crowdpose.py'),
    exclude=['top_head', 'neck'],
    prefix='crowdpose12',
)
test_evaluator = [val_evaluator, dict(_twelve, **_crowd)]
del _train, _test, _boxes, _data, _crowd, _twelve  # else they become keys of the config
