"""``distutils`` on Python 3.12 without setuptools.

mmengine's ``collect_env``, which every Runner calls, imports ``distutils.errors`` for one
exception class. Python 3.12 removed distutils; setuptools brings a copy, but an environment
made by uv, or by ``venv`` since 3.12, has no setuptools. The stand-in has that class and no
more, and is found only where no distutils is.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from rlepose_ext.imports import STAND_IN, Patch, provide


class DistutilsPlatformError(Exception):
    """Never raised: the compiler's name is looked up by other means on POSIX."""


def _package() -> ModuleType:
    return ModuleType('distutils', 'Stand-in by rlepose_ext.')


def _errors() -> ModuleType:
    module = ModuleType('distutils.errors', 'Stand-in by rlepose_ext.')
    module.DistutilsPlatformError = DistutilsPlatformError
    return module


def install() -> None:
    """Offer ``distutils`` and ``distutils.errors`` where nothing else does."""
    provide('distutils', _package, is_package=True)
    provide('distutils.errors', _errors)


def _status() -> str:
    spec = find_spec('distutils')
    return 'active' if spec.origin == STAND_IN else 'not needed: distutils exists'


PATCH = Patch(
    name='no_distutils',
    breaks="every Runner fails in collect_env: No module named 'distutils'",
    since='Python 3.12 without setuptools',
    until='mmengine no longer imports distutils',
    install=install,
    status=_status,
)
