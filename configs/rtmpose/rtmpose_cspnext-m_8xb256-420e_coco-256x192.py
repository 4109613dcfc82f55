# RTMPose-m, 256x192. Aim: AP 74.6 with the detected boxes of person AP 56.4 (MMPose's model zoo).
# Blur and erased holes are our transforms in place of albumentations, which changed its arguments.
_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])

blur = [
    dict(type='rlepose_ext.RandomBlur', prob=0.1),
    dict(type='rlepose_ext.RandomMedianBlur', prob=0.1),
]
first = _base_.train_pipeline
second = _base_.train_pipeline_stage2
hole = dict(type='rlepose_ext.RandomErase', prob=1.0)
seldom = dict(type='rlepose_ext.RandomErase', prob=0.5)

train_dataloader = dict(dataset=dict(pipeline=[*first[:7], *blur, hole, *first[8:]]))
boxes = 'data/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
val_dataloader = dict(dataset=dict(bbox_file=boxes))
test_dataloader = val_dataloader
custom_hooks = [
    dict(type='SyncBuffersHook'),
    _base_.custom_hooks[0],
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=_base_.custom_hooks[1].switch_epoch,
        switch_pipeline=[*second[:7], *blur, seldom, *second[8:]],
    ),
]
