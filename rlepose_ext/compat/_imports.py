"""Act on a module when it is imported, and not before.

Two mechanisms, both through ``sys.meta_path``:

- :func:`when_imported` runs a function on a module right after its own code ran
  (at once, if it is already loaded);
- :func:`provide` supplies a module that no other finder has (a stand-in for a
  compiled extension, say).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ModulePatch = Callable[[ModuleType], None]


@dataclass
class Patch:
    """One mended problem of the upstream stack.

    Attributes:
        name: short name, the file's stem.
        breaks: what fails without it.
        since: the version of the package that began to fail.
        until: the condition under which the file can be deleted.
        install: puts the patch in place; cheap, imports nothing heavy.
        status: one line for ``rlepose doctor``, such as ``'active'``; may import
            the modules concerned.
    """

    name: str
    breaks: str
    since: str
    until: str
    install: Callable[[], None]
    status: Callable[[], str] = field(default=lambda: 'active')
    installed: bool = False

    def install_once(self) -> None:
        """Install unless this process already has it."""
        if not self.installed:
            self.install()
            self.installed = True


def when_imported(name: str, patch: ModulePatch) -> None:
    """Run ``patch(module)`` once module ``name`` is loaded; now, if it already is."""
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, '_initializing', False):
        patch(module)
        return
    _AfterImport.patches.setdefault(name, []).append(patch)
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


def provide(name: str, create: Callable[[], ModuleType], is_package: bool = False) -> None:
    """Supply module ``name`` from ``create()`` if nothing else on this machine has it."""
    _StandIn.factories[name] = (create, is_package)
    if not any(isinstance(finder, _StandIn) for finder in sys.meta_path):
        sys.meta_path.append(_StandIn())


class _AfterImport(MetaPathFinder):
    """First in ``sys.meta_path``: finds as the others do, and patches after loading."""

    patches: dict[str, list[ModulePatch]] = {}

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in self.patches:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, 'find_spec'):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _PatchingLoader(spec.loader, self.patches[fullname])
                return spec
        return None


class _PatchingLoader(Loader):
    """The real loader, followed by the patches; leaves no trace on the module."""

    def __init__(self, loader: Loader, patches: list[ModulePatch]) -> None:
        self._loader = loader
        self._patches = patches

    def __getattr__(self, name: str):
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for patch in self._patches:
            patch(module)


class _StandIn(MetaPathFinder, Loader):
    """Last in ``sys.meta_path``: reached only when the real module is absent."""

    factories: dict[str, tuple[Callable[[], ModuleType], bool]] = {}

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in self.factories:
            return None
        return ModuleSpec(
            fullname, self, origin='rlepose_ext.compat', is_package=self.factories[fullname][1]
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.factories[spec.name][0]()

    def exec_module(self, module: ModuleType) -> None:
        pass
