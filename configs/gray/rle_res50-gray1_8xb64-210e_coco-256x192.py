# RLE, ResNet-50 from ImageNet, trained and tested on grey pictures in one channel. The file comes
# from `rlepose convert gray`, see README.md; mean and std are those that the command takes.
_base_ = ['../rle/_base_/rle_coco-256x192.py']

model = dict(
    data_preprocessor=dict(mean=[117.038], std=[57.53], bgr_to_rgb=False),
    backbone=dict(
        in_channels=1,
        init_cfg=dict(checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/resnet50_gray.pth'),
    ),
)

train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='rlepose_ext.ToGray', num_output_channels=1),
    *_base_.train_pipeline[-2:],
]
val_pipeline = [
    *_base_.val_pipeline[:-1],
    dict(type='rlepose_ext.ToGray', num_output_channels=1),
    *_base_.val_pipeline[-1:],
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
