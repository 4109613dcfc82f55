"""MMPose without what it imports for a few of its users."""

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys
import rlepose_ext
import mmpose.datasets, mmpose.evaluation, mmpose.models, mmpose.visualization, mmengine.runner
import torchvision
from importlib import import_module
# as a run does it, of a registry that has no locations of its own
from mmengine.registry import FUNCTIONS
FUNCTIONS.get('pseudo_collate')
heavy = (
    'matplotlib', 'mmdet', 'mmpose.apis', 'pandas', 'scipy', 'sympy', 'torch._dynamo',
    'torch.distributed.fsdp', 'torch.distributed.optim',
)
early = [name for name in heavy if name in sys.modules]

from rlepose_ext.engine.deferred_imports import DEFERRED
names = [(module, name) for module, names in DEFERRED.items() for name in names]
present = [f'{module}.{name}' for module, name in names if name in vars(import_module(module))]
absent = [f'{module}.{name}' for module, name in names if not hasattr(import_module(module), name)]
from mmengine.registry import MODEL_WRAPPERS, OPTIMIZERS, STRATEGIES
found = [
    registry.get(name).__module__
    for registry, name in (
        (MODEL_WRAPPERS, 'MMFullyShardedDataParallel'),
        (OPTIMIZERS, 'ZeroRedundancyOptimizer'),
        (STRATEGIES, 'FSDPStrategy'),
    )
]
print(json.dumps([early, found, present, absent]))
"""


@pytest.mark.slow
def test_what_is_deferred_is_found_when_it_is_asked_for():
    done = subprocess.run(
        [sys.executable, '-c', CODE], capture_output=True, text=True, check=True, timeout=300
    )
    early, found, present, absent = json.loads(done.stdout.splitlines()[-1])
    assert early == []
    assert found == [
        'mmengine.model.wrappers.fully_sharded_distributed',
        'mmengine.optim.optimizer.zero_optimizer',
        'mmengine._strategy.fsdp',
    ]
    # an entry of the table that defers nothing, or a name that is not there any more
    assert present == []
    assert absent == []
