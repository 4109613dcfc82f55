# The RGB model of rle/rle_res50 tested on grey pictures: what colour is worth to it. Training is
# rle_res50's; a checkpoint of it, or the model zoo's, is tested as it is.
_base_ = ['../rle/_base_/rle_coco-256x192.py']

val_pipeline = [
    *_base_.val_pipeline[:-1],
    dict(type='rlepose_ext.ToGray', num_output_channels=3),
    *_base_.val_pipeline[-1:],
]

val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
