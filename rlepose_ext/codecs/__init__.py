from rlepose_ext.codecs.simcc_rle_label import SimCCRLELabel
from rlepose_ext.codecs.skps_heatmap import SKPSHeatmap

__all__ = ['SKPSHeatmap', 'SimCCRLELabel']
