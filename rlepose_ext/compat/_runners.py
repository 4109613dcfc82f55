"""Both runners of mmengine: ``Runner``, and ``FlexibleRunner`` over strategies.

They have no class in common, and much of the same under the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from rlepose_ext.compat._imports import when_imported

_RUNNERS = {
    'mmengine.runner.runner': 'Runner',
    'mmengine.runner._flexible_runner': 'FlexibleRunner',
}


def patch_runners(patch: Callable[[type], None]) -> None:
    """Run ``patch(runner_class)`` for each runner, once its module is loaded."""
    for name, runner in _RUNNERS.items():

        def patch_module(module: ModuleType, runner: str = runner) -> None:
            patch(getattr(module, runner))

        when_imported(name, patch_module)
