# AdaptivePose on HRNet-W48, tested at scales 0.8 to 1.6 of 640 px, with flip test. Aim: AP 73.2
# (the authors' repository). For testing: train with adaptivepose_hrnet-w48, whose weights fit.
_base_ = ['_base_/adaptivepose_coco-512x512.py']

from rlepose_ext.datasets.pipelines import with_codec

codec = dict(_base_.codec, input_size=(640, 640), heatmap_size=(160, 160))
model = dict(
    type='rlepose_ext.PyramidPoseEstimator',
    data_preprocessor=dict(type='rlepose_ext.PyramidDataPreprocessor'),
    backbone=dict(
        extra=dict(
            stage2=dict(num_channels=(48, 96)),
            stage3=dict(num_channels=(48, 96, 192)),
            stage4=dict(num_channels=(48, 96, 192, 384)),
        ),
        init_cfg=None,
    ),
    head=dict(in_channels=48, decoder=codec),
    test_cfg=dict(multiscale_test=True),
)
train_pipeline = with_codec(_base_.train_pipeline, codec)
load, resize, pack = with_codec(_base_.val_pipeline, codec)
resize.update(aug_scales=[0.8, 1.2, 1.4, 1.6])
pack.update(type='rlepose_ext.PackImagePyramid')
val_pipeline = [load, resize, pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
del load, resize, pack  # else they become keys of the config
