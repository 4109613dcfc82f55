"""Everything registered under ``rlepose_ext.registry.MODELS``."""

from rlepose_ext.models import flows, heads, losses

__all__ = ['flows', 'heads', 'losses']
