"""Give every runner a hook of ours, whatever its config says."""

from __future__ import annotations

import functools
from typing import Any

from rlepose_ext.compat._runners import patch_runners

_NAMES: list[str] = []


def register_everywhere(name: str) -> None:
    """Let each runner have the hook ``rlepose_ext.engine.hooks.<name>``.

    A config that lists it already, to give it other arguments, keeps its own.
    """
    if not _NAMES:
        patch_runners(_patch)
    _NAMES.append(name)


def _patch(runner: type) -> None:
    register_hooks = runner.register_hooks

    @functools.wraps(register_hooks)
    def register_hooks_and_ours(self, *args, **kwargs):
        from rlepose_ext.engine import hooks

        register_hooks(self, *args, **kwargs)
        for name in _NAMES:
            if hook_of(self, name) is None:
                self.register_hook(getattr(hooks, name)())

    runner.register_hooks = register_hooks_and_ours


def hook_of(runner: Any, name: str) -> Any:
    """The hook of the class ``rlepose_ext.engine.hooks.<name>``, or of one derived from it.

    A hook of a user's own may bear the same name; it is another class, and not meant.

    Returns:
        The hook; None if there is none.
    """
    # not above: it imports mmengine
    from rlepose_ext.engine import hooks

    kind = getattr(hooks, name)
    return next((hook for hook in getattr(runner, 'hooks', ()) if isinstance(hook, kind)), None)
