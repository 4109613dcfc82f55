"""Metrics that MMPose lacks; importing this package registers them."""

from rlepose_ext.evaluation.wflw_subset_nme import WFLWSubsetNME

__all__ = ['WFLWSubsetNME']
