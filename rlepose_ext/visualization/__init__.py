"""Visualisation backends that MMEngine lacks."""

from rlepose_ext.visualization.csv_vis_backend import CSVVisBackend

__all__ = ['CSVVisBackend']
