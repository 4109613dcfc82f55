"""What a training wrote: scalars as CSV, read again and drawn as curves over all its starts."""

from rlepose_ext.run_logs.csv_vis_backend import CSVVisBackend

__all__ = ['CSVVisBackend']
