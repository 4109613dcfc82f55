# A small TokenPose for drawn people (`rlepose quickstart` draws them): to look at its attention.
_base_ = ['../quickstart/_base_/rle_synthetic-96x72.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(
    type='MSRAHeatmap', input_size=(72, 96), heatmap_size=(18, 24), sigma=1.5, unbiased=True
)
_head = dict(type='rlepose_ext.TokenPoseHead', in_channels=32, out_channels=17)
_sizes = dict(heatmap_size=(18, 24), in_featuremap_size=(18, 24), patch_size=(2, 2))
_width = dict(embed_dims=96, depths=(6,), hidden_dim=192)
model = dict(
    backbone=dict(num_stages=2, strides=(1, 1), dilations=(1, 1), out_indices=(1,)),
    head=dict(_delete_=True, decoder=codec, **_head, **_sizes, **_width),
    test_cfg=dict(_delete_=True, flip_test=True, flip_mode='heatmap', shift_heatmap=False),
)
train_cfg = dict(max_epochs=8)
_cosine = dict(type='CosineAnnealingLR', begin=0, end=8, T_max=8, eta_min=0.0, by_epoch=True)
param_scheduler = [_base_.param_scheduler[0], dict(convert_to_iter_based=True, **_cosine)]

train_pipeline = with_codec(_base_.train_pipeline, codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_pipeline = with_codec(_base_.val_pipeline, codec)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(score_mode='bbox_keypoint')
test_evaluator = val_evaluator
del _head, _sizes, _width, _cosine  # else they become keys of the config
