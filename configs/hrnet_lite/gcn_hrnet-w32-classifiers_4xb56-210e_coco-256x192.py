# The notebook's "w32_gg": the head of "gaugcn" on the whole HRNet-W32. 41,070,662 parameters
# that run; its own count, 44,619,901, has 3,549,239 unused ones. No number in the notebook.
_base_ = ['../_base_/simcc_hrnetlite_coco_256x192.py']

train_dataloader = dict(batch_size=56)
auto_scale_lr = dict(base_batch_size=224)

_b, _c = (4, 4, 4, 4), (32, 64, 128, 256)
_stages = dict(
    stage1=dict(block='BOTTLENECK', num_modules=1, num_blocks=_b[:1], num_channels=(64,)),
    stage2=dict(block='BASIC', num_modules=1, num_blocks=_b[:2], num_channels=_c[:2]),
    stage3=dict(block='BASIC', num_modules=4, num_blocks=_b[:3], num_channels=_c[:3]),
    stage4=dict(block='BASIC', num_modules=3, num_blocks=_b, num_channels=_c),
)
for _stage in _stages.values():
    _stage['num_branches'] = len(_stage['num_blocks'])
model = dict(
    backbone=dict(type='HRNet', extra=_stages),
    head=dict(
        blocks=[
            dict(type='ScaleNormLinear', dim=512),
            dict(type='GAU', expansion_dim=3072, attention='softmax_plus'),
        ],
        classifier=dict(type='SemGCN', hidden_dim=512),
    ),
)
del _b, _c, _stages, _stage  # else they become keys of the config
