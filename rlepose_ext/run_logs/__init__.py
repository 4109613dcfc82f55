"""What a training wrote: scalars as CSV, and curves."""

from rlepose_ext.run_logs.csv_vis_backend import CSVVisBackend

__all__ = ['CSVVisBackend']
