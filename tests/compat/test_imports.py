"""The import hooks: patches act once, at the right moment, and leave no trace."""

import subprocess
import sys
import textwrap


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
        from rlepose_ext.compat._imports import when_imported
        when_imported('victim', lambda module: setattr(module, 'value', module.value + 1))
        assert 'victim' not in sys.modules
        import victim
        print(victim.value, type(victim.__loader__).__name__, type(victim.__spec__.loader).__name__)
        """,
        str(tmp_path),
    )
    assert out == '2 SourceFileLoader SourceFileLoader'


def test_patch_runs_at_once_on_a_loaded_module(tmp_path):
    (tmp_path / 'victim.py').write_text('value = 1\n')
    out = run_python(
        """
        import victim
        from rlepose_ext.compat._imports import when_imported
        when_imported('victim', lambda module: setattr(module, 'value', 5))
        print(victim.value)
        """,
        str(tmp_path),
    )
    assert out == '5'


def test_stand_in_only_where_nothing_real_exists(tmp_path):
    (tmp_path / 'present.py').write_text('origin = "real"\n')
    out = run_python(
        """
        from types import ModuleType
        from rlepose_ext.compat._imports import provide
        def create(name):
            module = ModuleType(name)
            module.origin = 'stand-in'
            return module
        for name in ('present', 'absent'):
            provide(name, lambda name=name: create(name))
        import present, absent
        print(present.origin, absent.origin, absent.__spec__.origin)
        """,
        str(tmp_path),
    )
    assert out == 'real stand-in rlepose_ext.compat'


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
        ours, stock = 'rlepose_ext.models.losses.rle_loss', 'mmpose.models.losses.regression_loss'
        assert out.splitlines() == [f'{ours} {stock}'] * 2
