"""From nothing to a trained, tested and drawn pose: ``make demo``."""

from rlepose_ext.quickstart.job import Quickstart, run_quickstart

__all__ = ['Quickstart', 'run_quickstart']
