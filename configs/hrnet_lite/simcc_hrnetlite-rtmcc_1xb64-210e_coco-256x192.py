# HRNet-Lite with MMPose's RTMCCHead (ScaleNorm, 256 numbers per joint, one gated attention
# unit): 1,443,123 parameters in the head. No number in the founding notebook.
_base_ = ['_base_/simcc-hrnetlite_coco-256x192.py']

model = dict(
    head=dict(
        type='RTMCCHead',
        gau_cfg=dict(
            hidden_dims=256,
            s=128,
            expansion_factor=2,
            dropout_rate=0.0,
            drop_path=0.0,
            act_fn='SiLU',
            use_rel_bias=False,
            pos_enc=False,
        ),
    )
)
