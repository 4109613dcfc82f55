# YOLO-Pose on YOLOv5-s6 at 640 px, under half the cost of 960. Aim: AP 57.5 (the paper).
_base_ = ['_base_/yolopose_coco-960x960.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(type='rlepose_ext.YOLOPoseLabel', input_size=(640, 640))
model = dict(head=dict(loss=dict(objectness_weight=0.75), decoder=codec))

train_pipeline = with_codec(_base_.train_pipeline, codec)
val_pipeline = with_codec(_base_.val_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
