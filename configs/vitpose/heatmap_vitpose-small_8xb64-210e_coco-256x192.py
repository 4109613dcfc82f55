# ViTPose-S with the classic head, two deconvolutions. Aim: AP 73.9 (MMPose's model zoo).
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_ViTPose-small_8xb64-210e_coco-256x192.py'
)
custom_imports = dict(
    imports=['rlepose_ext', 'mmpose.engine.optim_wrappers.layer_decay_optim_wrapper']
)

model = dict(
    backbone=dict(
        _delete_=True,
        type='rlepose_ext.ViTBackbone',
        arch='small',
        img_size=(256, 192),  # height, width
        drop_path_rate=0.1,
        # Masked autoencoding on ImageNet. Positions of another grid are resized when loaded.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/'
            'v1/pretrained_models/mae_pretrain_vit_small_20230913.pth',
        ),
    )
)
