"""Change a module of another package when it is imported, and not before.

One finder, first in ``sys.meta_path``, knows the modules concerned:

- :func:`when_imported` runs a function on a module right after its own code ran
  (at once, if it is already loaded);
- :func:`when_broken` runs one where a module that is installed does not load;
- :func:`provide` supplies a module that no other finder has (a stand-in for a
  compiled extension, say).

:func:`rebind` replaces a function that other modules have imported by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ModulePatch = Callable[[ModuleType], None]
# What is done about an error while a module is loaded; the module is None where the error
# came before there was one. It raises another error, or mends the module and returns.
Remedy = Callable[[Exception, ModuleSpec, ModuleType | None], None]

STAND_IN = 'rlepose_ext.compat'  # the origin in the spec of what we provide


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


@dataclass
class _Plan:
    """What is to happen around the loading of one module."""

    after: list[ModulePatch] = field(default_factory=list)
    remedy: Remedy | None = None
    create: Callable[[], ModuleType] | None = None
    is_package: bool = False
    loading: bool = False  # under our loader, which will run what is in ``after``


_plans: dict[str, _Plan] = {}


def when_imported(name: str, patch: ModulePatch) -> None:
    """Run ``patch(module)`` once module ``name`` is loaded; now, if it already is."""
    module = sys.modules.get(name)
    spec = getattr(module, '__spec__', None)
    running = getattr(spec, '_initializing', False)
    if module is not None and not running:
        patch(module)
        return
    plan = _plan(name)
    plan.after.append(patch)
    if running and not plan.loading:
        spec.__class__ = _RunningSpec


def when_broken(name: str, remedy: Remedy) -> None:
    """Run ``remedy(error, spec, module)`` where an installed module ``name`` does not load."""
    _plan(name).remedy = remedy


def provide(name: str, create: Callable[[], ModuleType], is_package: bool = False) -> None:
    """Supply module ``name`` from ``create()`` if nothing else on this machine has it."""
    plan = _plan(name)
    plan.create, plan.is_package = create, is_package


def rebind(original: Callable, replacement: Callable, package: str) -> None:
    """Let every loaded module of ``package`` that holds ``original`` hold ``replacement``.

    Needed where upstream was imported before this package: ``from x import f`` has then
    copied the reference, and replacing it in ``x`` alone changes nothing.
    """
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f'{package}.'):
            for key, value in list(vars(module).items() if module is not None else ()):
                if value is original:
                    setattr(module, key, replacement)


def _plan(name: str) -> _Plan:
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    return _plans.setdefault(name, _Plan())


class _Finder(MetaPathFinder):
    """Finds modules as the other finders do, provides what none has, and applies the plans."""

    def find_spec(self, fullname, path=None, target=None):
        plan = _plans.get(fullname)
        if plan is None:
            return None
        spec = self._find_elsewhere(fullname, path, target)
        if spec is None and plan.create is not None:
            spec = ModuleSpec(
                fullname, _StandInLoader(plan.create), origin=STAND_IN, is_package=plan.is_package
            )
        if spec is not None and spec.loader is not None:
            spec.loader = _PlannedLoader(spec.loader, plan)
        return spec

    def _find_elsewhere(self, *args):
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, 'find_spec'):
                spec = finder.find_spec(*args)
                if spec is not None:
                    return spec
        return None


class _PlannedLoader(Loader):
    """The real loader, and what is planned around it; leaves no trace on the module."""

    def __init__(self, loader: Loader, plan: _Plan) -> None:
        self._loader = loader
        self._plan = plan

    def __getattr__(self, name: str):
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        try:
            return self._loader.create_module(spec)
        except Exception as error:
            if self._plan.remedy is not None:
                self._plan.remedy(error, spec, None)
            raise

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        spec.loader = module.__loader__ = self._loader
        self._plan.loading = True
        try:
            self._execute(module, spec)
            for patch in self._plan.after:
                patch(module)
        finally:
            self._plan.loading = False

    def _execute(self, module: ModuleType, spec: ModuleSpec) -> None:
        try:
            self._loader.exec_module(module)
        except Exception as error:
            if self._plan.remedy is None:
                raise
            self._plan.remedy(error, spec, module)


class _RunningSpec(ModuleSpec):
    """The spec of a module whose code is running already, under a loader that is not ours.

    Python's import sets ``_initializing`` to False at the end, whether it went well or not.
    """

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == '_initializing' and not value:
            self.__class__ = ModuleSpec
            module = sys.modules.get(self.name)
            if getattr(module, '__spec__', None) is self:
                for patch in _plans[self.name].after:
                    patch(module)


class _StandInLoader(Loader):
    """Makes a module that nothing else has."""

    def __init__(self, create: Callable[[], ModuleType]) -> None:
        self._create = create

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._create()

    def exec_module(self, module: ModuleType) -> None:
        pass
