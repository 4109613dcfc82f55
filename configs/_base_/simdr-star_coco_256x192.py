# SimDR*, which is SimCC with Gaussian targets (sigma of 4 bins) and the KL divergence: HRNet-W32,
# height 256, width 192. Recipe and augmentation are those of the founding notebook's HRNet-Lite, on
# three GPUs.
_base_ = ['./simcc_hrnetlite_coco_256x192.py']

auto_scale_lr = dict(base_batch_size=192)

model = dict(
    backbone=dict(
        type='HRNet',
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4,),
                num_channels=(64,),
            ),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block='BASIC',
                num_blocks=(4, 4),
                num_channels=(32, 64),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(32, 64, 128),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(32, 64, 128, 256),
            ),
        ),
    ),
    head=dict(
        type='SimCCHead',
        # The map is large enough as HRNet gives it.
        deconv_out_channels=None,
    ),
)
