"""Training features: checkpoints, resuming, signals, bad losses, data checks.

:mod:`rlepose_ext.engine.equip` gives them to the runs that do not name them.
"""

from typing import Any


def hook_of(runner: Any, kind: type) -> Any:
    """The first hook of a runner that is of the class ``kind``; None if there is none."""
    return next((hook for hook in getattr(runner, 'hooks', ()) if isinstance(hook, kind)), None)
