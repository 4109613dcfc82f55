"""RTMDet-tiny from scratch on drawn people, in minutes on two cores (benchmarks/drawn_chain.py)."""

# ruff: noqa: C408
_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
custom_imports = dict(imports=['rlepose_ext'])

data_root = '{{$RLEPOSE_DATA:data}}/synthetic/'
max_epochs = 8
norm = dict(type='BN')  # SyncBN needs GPUs
model = dict(
    backbone=dict(norm_cfg=norm, init_cfg=None),
    neck=dict(norm_cfg=norm),
    bbox_head=dict(norm_cfg=norm, num_classes=1),
)

size = (256, 256)
load = dict(type='LoadImageFromFile')
labels = dict(type='LoadAnnotations', with_bbox=True)
resize = dict(type='Resize', scale=size, keep_ratio=True)
pad = dict(type='Pad', size=size, pad_val=dict(img=(114, 114, 114)))
keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
train_pipeline = [
    load,
    labels,
    dict(type='RandomResize', scale=size, ratio_range=(0.6, 1.3), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, allow_negative_crop=True),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    pad,
    dict(type='PackDetInputs'),
]
test_pipeline = [load, resize, pad, labels, dict(type='PackDetInputs', meta_keys=keys)]

data = dict(data_root=data_root, metainfo=dict(classes=('person',), palette=[(220, 20, 60)]))
train = dict(ann_file='annotations/train.json', data_prefix=dict(img='images/train/'))
val = dict(ann_file='annotations/val.json', data_prefix=dict(img='images/val/'))
# No workers: both cores are busy with the network.
here = dict(batch_size=16, num_workers=0, persistent_workers=False, pin_memory=False)
train_dataloader = dict(**here, dataset=dict(**data, **train, pipeline=train_pipeline))
val_dataloader = dict(**here, dataset=dict(**data, **val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f'{data_root}annotations/val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=max_epochs, val_interval=4, dynamic_intervals=None)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=35))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min=1e-5, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2), logger=dict(interval=10))
custom_hooks = []
