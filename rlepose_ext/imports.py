"""Change a module of another package when it is imported, and not before.

One finder, first in ``sys.meta_path``, knows the modules concerned:

- :func:`when_imported` runs a function on a module right after its own code ran
  (at once, if it is already loaded);
- :func:`when_broken` runs one where a module that is installed does not load;
- :func:`provide` supplies a module that no other finder has (a stand-in for a
  compiled extension, say);
- :func:`defer` lets a module import some of its names when they are first used.

:func:`rebind` replaces a function that other modules have imported by name.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import marshal
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import cache_from_source, source_hash
from pathlib import Path
from types import CodeType, ModuleType

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
    deferred: set[str] = field(default_factory=set)
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


def defer(name: str, *names: str) -> None:
    """Let module ``name`` import these of its names when they are first used.

    ``from x import y`` at the top of the module is left out; the module looks ``y`` up when it is
    asked for it, and each of its functions that mentions ``y`` begins by asking. An import that
    the module needs while it is loaded, as the base of a class, say, stays; so does everything
    in a module that is loaded already. Annotations of the module become strings.
    """
    _plan(name).deferred.update(names)


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
            if self._plan.deferred and isinstance(self._loader, SourceLoader):
                _execute_deferring(module, self._loader, self._plan.deferred)
            else:
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


def _execute_deferring(module: ModuleType, loader: SourceLoader, names: Collection[str]) -> None:
    code, found = _compiled(module, loader, names)

    def look_up(name: str) -> object:
        if name not in found:
            raise AttributeError(f'module {module.__name__!r} has no attribute {name!r}')
        home, original = found[name]
        package = module.__package__ if home.startswith('.') else None
        value = importlib.import_module(home, package)
        if not hasattr(value, original):  # `from package import module`
            importlib.import_module(f'{value.__name__}.{original}')
        value = getattr(value, original)
        setattr(module, name, value)
        return value

    module.__getattr__ = look_up
    exec(code, vars(module))


def _compiled(
    module: ModuleType, loader: SourceLoader, names: Collection[str]
) -> tuple[CodeType, dict[str, tuple[str, str]]]:
    """The code of a module without some imports, and where these lead: module and name.

    It is kept beside the module's own bytecode: to parse large modules takes 0.1 s each.
    """
    source = loader.get_source(module.__name__)
    stamp = source_hash(repr((source, sorted(names), Path(__file__).read_bytes())).encode())
    kept = cache_from_source(module.__file__, optimization='rlepose')
    try:
        of, code, found = marshal.loads(loader.get_data(kept))
        if of == stamp:
            return code, found
    except (OSError, ValueError, TypeError, EOFError):
        pass
    code, found = _compile(module, source, names)
    if not sys.dont_write_bytecode:
        loader.set_data(kept, marshal.dumps((stamp, code, found)))
    return code, found


def _compile(
    module: ModuleType, source: str, names: Collection[str]
) -> tuple[CodeType, dict[str, tuple[str, str]]]:
    tree = ast.parse(source)
    functions = list(_functions(tree))
    kept = _used_while_loading(tree, functions)
    for function in functions:
        kept |= _bound(function)
    imports = _Imports(set(names) - kept)
    tree = ast.fix_missing_locations(imports.visit(tree))
    for function in functions:
        needed = sorted(_mentioned(function) & set(imports.found))
        # behind the docstring
        position = 0 if ast.get_docstring(function, clean=False) is None else 1
        function.body[position:position] = [_ask(module, name, function) for name in needed]
    flags = __future__.annotations.compiler_flag
    return compile(tree, module.__file__, 'exec', flags), imports.found


class _Imports(ast.NodeTransformer):
    """Takes ``from x import name`` out of a module, but not out of its functions and classes."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self.found: dict[str, tuple[str, str]] = {}

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        stay = []
        for alias in node.names:
            name = alias.asname or alias.name
            if name in self._names:
                self.found[name] = ('.' * node.level + (node.module or ''), alias.name)
            else:
                stay.append(alias)
        if len(stay) == len(node.names):
            return node
        if not stay:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.ImportFrom(node.module, stay, node.level), node)


def _ask(module: ModuleType, name: str, function: ast.AST) -> ast.stmt:
    """``from <this module> import name``, which is :func:`look_up` the first time."""
    statement = ast.ImportFrom(module.__name__, [ast.alias(name)], 0)
    return ast.fix_missing_locations(ast.copy_location(statement, function))


def _functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The outermost functions: of the module and of its classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
        else:
            yield from _functions(child)


def _used_while_loading(tree: ast.AST, functions: Collection[ast.AST]) -> set[str]:
    """Names that are read outside of the bodies of functions; annotations do not count."""
    used: set[str] = set()

    def look(node: ast.AST) -> None:
        if node in functions:
            for each in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
                if each is not None:
                    look(each)
            return
        if isinstance(node, ast.Name):
            used.add(node.id)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.AnnAssign) and child is node.annotation):
                look(child)

    look(tree)
    return used


def _mentioned(function: ast.AST) -> set[str]:
    return {node.id for part in function.body for node in ast.walk(part) if hasattr(node, 'id')}


def _bound(function: ast.AST) -> set[str]:
    """Names that a function, or one within it, gives a value of its own."""
    bound = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
    return bound
