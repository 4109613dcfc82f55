"""Registries of the plugin: children of MMPose's, in the scope ``rlepose_ext``.

Configs name our classes with the prefix, ``type='rlepose_ext.RLEHead'``: MMPose
registers an ``RLEHead`` too. MMEngine imports this module when it meets the prefix
and then the ``locations``, so no PYTHONPATH and no further import is needed.
"""

from mmengine.registry import Registry
from mmpose import registry as mmpose_registry

SCOPE = 'rlepose_ext'


def _child(name: str, location: str) -> Registry:
    parent = getattr(mmpose_registry, name)
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=[location])


MODELS = _child('MODELS', 'rlepose_ext.models')
KEYPOINT_CODECS = _child('KEYPOINT_CODECS', 'rlepose_ext.codecs')
TRANSFORMS = _child('TRANSFORMS', 'rlepose_ext.datasets.transforms')
DATASETS = _child('DATASETS', 'rlepose_ext.datasets.posefix_dataset')
METRICS = _child('METRICS', 'rlepose_ext.evaluation')
HOOKS = _child('HOOKS', 'rlepose_ext.engine.hooks')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'rlepose_ext.engine.throughput')
VISBACKENDS = _child('VISBACKENDS', 'rlepose_ext.run_logs')
