"""Backbones, necks, heads, losses, flows, estimators; ``layers``: blocks."""

from rlepose_ext.models import backbones, estimators, flows, heads, losses, necks

__all__ = ['backbones', 'estimators', 'flows', 'heads', 'losses', 'necks']
