"""Everything registered under ``rlepose_ext.registry.MODELS``."""

from rlepose_ext.models import heads, losses

__all__ = ['heads', 'losses']
