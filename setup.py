"""Packaging. The wheel carries configs, tools and demo under ``rlepose_ext/.mim``."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MIM_CONTENT = ('configs', 'tools', 'demo', 'benchmarks/results', 'model-index.yml')


def version() -> str:
    scope = {}
    exec((ROOT / 'rlepose_ext' / 'version.py').read_text(), scope)
    return scope['__version__']


def requirements(name: str) -> list:
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


class BuildWithMim(build_py):
    """``build_py`` plus the folder that OpenMMLab's tools look into.

    An editable install has the checkout itself and gets no copy. There `mim search` finds nothing:
    it looks into site-packages/rlepose_ext, and such a folder would hide the checkout from Python.
    """

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        target = Path(self.build_lib) / 'rlepose_ext' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        for name in MIM_CONTENT:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns('__pycache__')
                shutil.copytree(source, target / name, ignore=ignore)
            elif source.is_file():
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / name)


setup(
    name='rlepose_ext',
    version=version(),
    description='RLE pose regression and its relatives as an MMPose 1.x plugin',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=['rlepose_ext', 'rlepose_ext.*']),
    # mmengine, mmcv, mmpose, openmim and OpenCV are left out on purpose, see nodeps.txt.
    install_requires=requirements('runtime.txt'),
    extras_require={
        'mim': requirements('mim.txt'),
        'export': requirements('export.txt'),
        'runtime': requirements('onnx_runtime.txt'),
        'dev': requirements('dev.txt'),
        'heic': ['pillow-heif>=0.16'],
    },
    entry_points={'console_scripts': ['rlepose = rlepose_ext.cli.main:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
