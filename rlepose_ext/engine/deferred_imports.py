"""What most runs do not use is imported when it is used.

``import mmpose.apis`` loads FSDP with torch's symbolic shapes (1.2 s), all of mmdet with matplotlib
for two names of RTMO's head, and SciPy's distributions for one of them; for their visualizers every
training and every test load pyplot, mmpose.apis, and torchvision with torch.compile's tracer. The
modules that import these for everybody look them up on first use instead, see
:func:`rlepose_ext.imports.defer`. What such a module would have registered is registered when its
registry is first asked.
"""

from __future__ import annotations

from types import ModuleType

from rlepose_ext.imports import defer, when_imported

# Modules, and the names that they import for others or use in functions only.
DEFERRED = {
    'mmengine._strategy': ('FSDPStrategy',),
    'mmengine.model': ('MMFullyShardedDataParallel',),
    'mmengine.model.wrappers': ('MMFullyShardedDataParallel',),
    'mmengine.optim': ('ZeroRedundancyOptimizer',),
    'mmengine.optim.optimizer': ('ZeroRedundancyOptimizer',),
    'mmpose.codecs.associative_embedding': ('Munkres',),
    'mmpose.datasets.datasets.body.mpii_dataset': ('loadmat',),
    'mmpose.datasets.transforms.bottomup_transforms': ('truncnorm',),
    'mmpose.datasets.transforms.common_transforms': ('truncnorm',),
    'mmpose.models.heads.hybrid_heads.rtmo_head': ('ConfigType', 'reduce_mean'),
    'mmpose.visualization.local_visualizer_3d': ('convert_keypoint_definition', 'plt'),
    'mmpose.visualization.simcc_vis': ('ToPILImage',),
    'torchvision.ops.roi_align': ('is_compile_supported',),
}
# Registries of MMEngine, and the modules that register in them.
REGISTERING = {
    'MODEL_WRAPPERS': 'mmengine.model.wrappers.fully_sharded_distributed',
    'OPTIMIZERS': 'mmengine.optim.optimizer.zero_optimizer',
    'STRATEGIES': 'mmengine._strategy.fsdp',
}


def install() -> None:
    """Defer the imports of :data:`DEFERRED`, of modules that are not loaded yet."""
    for module, names in DEFERRED.items():
        defer(module, *names)
    when_imported('mmengine.registry.root', _locate)


def _locate(root: ModuleType) -> None:
    for name, location in REGISTERING.items():
        registry = getattr(root, name)
        # Not append: all registries without locations share one list.
        registry._locations = [*registry._locations, location]
