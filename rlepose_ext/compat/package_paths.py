"""``is_installed`` and ``get_installed_path`` of mmengine without ``pkg_resources``.

mmengine 0.10.7 imports ``pkg_resources`` in them, which setuptools 82 removed. They are called
for ``_base_ = 'mmpose::...'``, by the hub functions and by MMPose's inferencers. Here they
ask ``importlib.metadata``. Where ``pkg_resources`` exists, mmengine's own are kept.

A config that ``mim train`` reads is parsed before ``custom_imports`` brings this package in:
there only ``setuptools<82`` helps, which the extra ``[mim]`` brings.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

from rlepose_ext.imports import Patch, rebind, when_imported


def _find(package: str) -> Distribution | None:
    try:
        return distribution(package)
    except PackageNotFoundError:
        return None


def _origin(module: str) -> str | None:
    spec = importlib.util.find_spec(module)
    return None if spec is None else spec.origin


def is_installed(package: str) -> bool:
    """Whether a distribution, or a module that is no namespace package, has this name."""
    return _find(package) is not None or _origin(package) is not None


def package2module(package: str) -> str:
    """Name of the first top-level module of a distribution.

    Raises:
        ValueError: the distribution does not say.
    """
    found = _find(package)
    names = (found.read_text('top_level.txt') or '').split() if found else []
    if not names:
        raise ValueError(f'can not infer the module name of {package}')
    return names[0]


def get_installed_path(package: str) -> str:
    """Folder of a package, given the name of its distribution or module.

    Raises:
        PackageNotFoundError: there is none.
        RuntimeError: it is a namespace package.
    """
    found = _find(package)
    if found is not None:
        path = Path(str(found.locate_file(package)))
        if path.exists():
            return str(path)
        module = package2module(package)
        path = path.with_name(module)
        if path.exists():
            return str(path)
    else:
        module = package
    # A folder on PYTHONPATH, or an editable installation.
    if importlib.util.find_spec(module) is None:
        raise PackageNotFoundError(package)
    origin = _origin(module)
    if origin is None:
        raise RuntimeError(f'{package} is a namespace package, it has no single folder')
    return str(Path(origin).parent)


def _needed() -> bool:
    return importlib.util.find_spec('pkg_resources') is None


def _replace(module: ModuleType) -> None:
    if _needed():
        for ours in (is_installed, package2module, get_installed_path):
            rebind(getattr(module, ours.__name__), ours, 'mmengine')


def install() -> None:
    """Replace the functions when mmengine's package_utils is imported."""
    when_imported('mmengine.utils.package_utils', _replace)


PATCH = Patch(
    name='package_paths',
    breaks="configs based on 'mmpose::...' fail with No module named 'pkg_resources'",
    since='setuptools 82 (with mmengine 0.10.7 and older)',
    until='mmengine is released with its pull request 1676',
    install=install,
    status=lambda: 'active' if _needed() else 'not needed: setuptools has pkg_resources',
)
