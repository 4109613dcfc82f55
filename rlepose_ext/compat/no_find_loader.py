"""``pkgutil.find_loader``, which Python 3.14 removed.

mmcv and mmengine each call it once, to ask whether mmcv has its compiled operators; mmengine
does so for every optimizer with a ``paramwise_cfg``. The two modules get the function back,
``pkgutil`` itself is left as it is.
"""

from __future__ import annotations

import pkgutil
from importlib.abc import Loader
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

from rlepose_ext.imports import Patch, when_imported

_MODULES = ('mmcv.utils.ext_loader', 'mmengine.utils.dl_utils.misc')


def find_loader(name: str) -> Loader | None:
    """The loader of a module, or None where there is no such module."""
    spec = find_spec(name)
    return None if spec is None else spec.loader


def _needed() -> bool:
    return not hasattr(pkgutil, 'find_loader')


def _give_find_loader(module: ModuleType) -> None:
    if _needed():
        # Neither module uses anything else of pkgutil.
        module.pkgutil = SimpleNamespace(find_loader=find_loader)


def install() -> None:
    """Mend the two modules once they are imported."""
    for name in _MODULES:
        when_imported(name, _give_find_loader)


PATCH = Patch(
    name='no_find_loader',
    breaks="an optimizer with paramwise_cfg cannot be built: no attribute 'find_loader'",
    since='Python 3.14',
    until='mmcv and mmengine ask importlib.util.find_spec',
    install=install,
    status=lambda: 'active' if _needed() else 'not needed: pkgutil has find_loader',
)
