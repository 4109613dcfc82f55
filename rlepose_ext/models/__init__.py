"""Everything registered under ``rlepose_ext.registry.MODELS``."""

from rlepose_ext.models import backbones, estimators, flows, heads, losses, necks

__all__ = ['backbones', 'estimators', 'flows', 'heads', 'losses', 'necks']
