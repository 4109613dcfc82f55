"""RLE on five joints of one's own; docs/datasets.md explains it."""

# ruff: noqa: C408
_base_ = ['../../configs/rle/_base_/rle_lsp-192x192.py']

data_root = '{{$RLEPOSE_DATA:data}}/puppets/'
metainfo = dict(_delete_=True, from_file='{{ fileDirname }}/puppets_metainfo.py')

model = dict(head=dict(num_joints=5))

train_cfg = dict(val_interval=1)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(metainfo=metainfo, data_root=data_root, ann_file='train.json'),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(metainfo=metainfo, data_root=data_root, ann_file='val.json'),
)
test_dataloader = val_dataloader
