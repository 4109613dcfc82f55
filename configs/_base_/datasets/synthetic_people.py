# Drawn people (rlepose_ext.datasets.synthetic), COCO joints:
# synthetic/{annotations/{train,val}.json, images/{train,val}/}. Written by `rlepose quickstart`.
data_root = '{{$RLEPOSE_DATA:data}}/synthetic/'
dataset_type = 'CocoDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/train/'),
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/val.json',
        data_prefix=dict(img='images/val/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric', ann_file=f'{data_root}annotations/val.json', score_mode='bbox_rle'
)
test_evaluator = val_evaluator
