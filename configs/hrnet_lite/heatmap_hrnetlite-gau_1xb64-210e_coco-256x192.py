# A gated attention unit (MMPose's RTMCCBlock) over the 17 heatmaps, hidden width 256: the
# notebook's heatmap_gau_head. It has no number.
_base_ = ['_base_/heatmap-hrnetlite_coco-256x192.py']

model = dict(
    head=dict(
        type='rlepose_ext.HeatmapGAUHead',
        heatmap_size=_base_.codec['heatmap_size'],
        gau=dict(expansion_dim=256, s=128, act_fn='SiLU'),
    )
)
