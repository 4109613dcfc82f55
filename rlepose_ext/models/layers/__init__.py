from rlepose_ext.models.layers.coord_attention import CoordAttention
from rlepose_ext.models.layers.gated_attention import ATTENTION, GatedAttentionUnit, ScaleNorm
from rlepose_ext.models.layers.sem_gcn import GraphConvBlock, SemGCN, SemGraphConv
from rlepose_ext.models.layers.skeleton import COCO_EDGES, adjacency

__all__ = [
    'ATTENTION',
    'COCO_EDGES',
    'CoordAttention',
    'GatedAttentionUnit',
    'GraphConvBlock',
    'ScaleNorm',
    'SemGCN',
    'SemGraphConv',
    'adjacency',
]
