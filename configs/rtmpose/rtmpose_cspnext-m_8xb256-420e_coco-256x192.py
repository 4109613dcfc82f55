# RTMPose-m, 256x192. Aim: AP 74.6 with the detected boxes of person AP 56.4 (MMPose's model zoo).
# Blur and erased holes are our transforms in place of albumentations, which changed its arguments.
_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py'
custom_imports = dict(imports=['rlepose_ext'])

_blur = [
    dict(type='rlepose_ext.RandomBlur', prob=0.1),
    dict(type='rlepose_ext.RandomMedianBlur', prob=0.1),
]
_hole, _seldom = (dict(type='rlepose_ext.RandomErase', prob=prob) for prob in (1.0, 0.5))
_first, _second = _base_.train_pipeline, _base_.train_pipeline_stage2

train_dataloader = dict(dataset=dict(pipeline=[*_first[:7], *_blur, _hole, *_first[8:]]))
_boxes = 'data/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
val_dataloader = dict(dataset=dict(bbox_file=_boxes))
test_dataloader = val_dataloader
custom_hooks = [
    dict(type='SyncBuffersHook'),
    _base_.custom_hooks[0],
    dict(
        type='rlepose_ext.PipelineSwitchHook',
        switch_epoch=_base_.custom_hooks[1].switch_epoch,
        switch_pipeline=[*_second[:7], *_blur, _seldom, *_second[8:]],
    ),
]
del _blur, _hole, _seldom, _first, _second, _boxes  # else they become keys of the config
