# SimCC on MoveNet Lightning's backbone with Google's weights, COCO. Aim: no published figure.
# The file is a copy of what `rlepose weights movenet-lightning` prints.
_base_ = ['_base_/simcc_coco-192x192.py']

model = dict(
    data_preprocessor=dict(mean=[127.502] * 3, std=[127.502] * 3),
    backbone=dict(
        _delete_=True,
        type='rlepose_ext.MoveNetBackbone',
        arch='lightning',
        out_indices=(7,),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='{{$RLEPOSE_WEIGHTS:weights}}/movenet-lightning.pth',
        ),
    ),
)
auto_scale_lr = dict(base_batch_size=512)
