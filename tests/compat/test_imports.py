"""The import hooks: patches act once, at the right moment, and leave no trace."""

import subprocess
import sys
import textwrap

import pytest


def run_python(code: str, *path: str) -> str:
    """Run ``code`` in a fresh interpreter with ``path`` in front of sys.path."""
    prelude = f'import sys; sys.path[:0] = {list(path)!r}\n'
    process = subprocess.run(
        [sys.executable, '-c', prelude + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    heavy = run_python("""
        import rlepose_ext
        heavy = ('torch', 'numpy', 'cv2', 'mmcv', 'mmengine', 'mmpose')
        print([name for name in heavy if name in sys.modules])
    """)
    assert heavy == '[]'


def test_patch_runs_after_the_module_and_leaves_its_loader(tmp_path):
    (tmp_path / 'victim.py').write_text('value = 1\n')
    out = run_python(
        """
        from rlepose_ext.imports import when_imported
        when_imported('victim', lambda module: setattr(module, 'value', module.value + 1))
        assert 'victim' not in sys.modules
        import victim
        print(victim.value, type(victim.__loader__).__name__, type(victim.__spec__.loader).__name__)
        """,
        str(tmp_path),
    )
    assert out == '2 SourceFileLoader SourceFileLoader'


def test_patch_runs_after_a_module_that_is_being_loaded(tmp_path):
    """The module imports us, or what imports us, before its own last line."""
    (tmp_path / 'victim.py').write_text('import user\nvalue = 1\n')
    (tmp_path / 'user.py').write_text(
        textwrap.dedent("""
            from rlepose_ext.imports import when_imported
            def patch(module):
                module.value += 1
                if module.value == 2:
                    when_imported('victim', patch)
            when_imported('victim', patch)
        """)
    )
    code = """
        import victim
        print(victim.value, type(victim.__spec__).__name__)
    """
    assert run_python(code, str(tmp_path)) == '3 ModuleSpec'
    # as well where the module is one that we wait for already
    waiting = """
        from rlepose_ext.imports import when_imported
        when_imported('victim', lambda module: setattr(module, 'seen', module.value))
        import victim
        print(victim.value, victim.seen)
    """
    assert run_python(waiting, str(tmp_path)) == '3 1'


def test_patch_waits_for_a_second_attempt(tmp_path):
    (tmp_path / 'victim.py').write_text('import user\nvalue = 1 / user.number\n')
    (tmp_path / 'user.py').write_text(
        'from rlepose_ext.imports import when_imported\n'
        "when_imported('victim', lambda module: setattr(module, 'value', 5))\n"
        'number = 0\n'
    )
    out = run_python(
        """
        try:
            import victim
        except ZeroDivisionError:
            import user
        user.number = 1
        import victim
        print(victim.value)
        """,
        str(tmp_path),
    )
    assert out == '5'


@pytest.mark.slow
@pytest.mark.parametrize('name', ['xtcocotools', 'mmcv._ext'])
@pytest.mark.parametrize('kind', ['real', 'missing'])
def test_modules_that_may_be_stand_ins_can_be_patched(tmp_path, name, kind):
    files = ('xtcocotools/__init__', 'xtcocotools/coco', 'xtcocotools/cocoeval')
    for file in (*files, 'xtcocotools/mask', 'mmcv/__init__', 'mmcv/_ext'):
        if kind == 'real' or file == 'mmcv/__init__':
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / f'{file}.py').write_text('origin = "real"\n')
    out = run_python(
        f"""
        from importlib import import_module
        import rlepose_ext
        from rlepose_ext.imports import when_imported
        when_imported({name!r}, lambda module: setattr(module, 'patched', True))
        module = import_module({name!r})
        print(module.patched, vars(module).get('origin', 'none'))
        """,
        str(tmp_path),
    )
    assert out == f'True {"real" if kind == "real" else "none"}'


@pytest.mark.slow
def test_registry_prefix_gives_our_class_in_both_import_orders():
    for first, second in (('mmpose.registry', 'rlepose_ext'), ('rlepose_ext', 'mmpose.registry')):
        out = run_python(f"""
            import {first}
            import {second}
            from mmengine.registry import DefaultScope
            from mmpose.registry import MODELS
            print(MODELS.get('rlepose_ext.RLELoss').__module__, MODELS.get('RLELoss').__module__)
            DefaultScope.get_instance('test', scope_name='mmpose')
            print(MODELS.get('rlepose_ext.RLELoss').__module__, MODELS.get('RLELoss').__module__)
        """)
        ours, stock = 'rlepose_ext.models.losses.rle', 'mmpose.models.losses.regression_loss'
        assert out.splitlines() == [f'{ours} {stock}'] * 2


def test_deferred_imports(tmp_path):
    (tmp_path / 'heavy.py').write_text('class Base: pass\ndef work(): return "done"\nkind = int\n')
    (tmp_path / 'lazy').mkdir()
    (tmp_path / 'lazy/__init__.py').write_text(
        'if True:\n    from .user import run, Thing\n    from .user import later as renamed\n'
    )
    (tmp_path / 'lazy/user.py').write_text(
        textwrap.dedent("""
            from heavy import kind, work
            from lazy import part as a_part
            later = 5
            class Thing:
                def run(self, number: kind = 0) -> kind:
                    '''What it does.'''
                    return [work() for _ in range(number)]
            def run(number: kind):
                def inside():
                    return work() + kind.__name__
                return inside()
        """)
    )
    (tmp_path / 'lazy/part.py').write_text('size = 3\n')
    (tmp_path / 'derived.py').write_text(
        'from heavy import Base, work\nclass Child(Base): pass\ndef shadow(work): return work\n'
    )
    code = """
        from rlepose_ext import imports
        from rlepose_ext.imports import defer
        sys.dont_write_bytecode = False
        if {again}:
            imports._compile = None  # it is there from the first time
        defer('lazy.user', 'kind', 'work', 'a_part', 'unknown')
        defer('lazy', 'renamed')
        import lazy
        print('heavy' in sys.modules, 'renamed' in vars(lazy), lazy.Thing.run.__doc__)
        print(lazy.renamed, lazy.run(1), lazy.Thing().run(2), 'heavy' in sys.modules)
        from lazy.user import kind
        lazy.user.work = lambda: 'replaced'
        print(kind is int, lazy.Thing().run(1), hasattr(lazy.user, 'unknown'))
        defer('derived', 'Base', 'work')
        import derived
        print(derived.Child.__mro__[1].__module__, derived.shadow(3), derived.work())
        print('lazy.part' in sys.modules, lazy.user.a_part.size)
    """
    expected = [
        'False False What it does.',
        "5 doneint ['done', 'done'] True",
        "True ['replaced'] False",
        'heavy 3 done',
        'False 3',
    ]
    for again in (False, True):
        assert run_python(code.format(again=again), str(tmp_path)).splitlines() == expected
    user = tmp_path / 'lazy/user.py'
    user.write_text(user.read_text().replace('later = 5', 'later = 7'))
    assert '7 doneint' in run_python(code.format(again=False), str(tmp_path))
