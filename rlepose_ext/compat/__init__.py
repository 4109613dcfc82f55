"""Repairs of the frozen OpenMMLab stack for today's Python and torch.

One file per problem. Each exports ``PATCH``, which says what breaks without it,
since when, and when the file can be deleted. :func:`install` only puts a finder
into ``sys.meta_path``; the work happens when the module concerned is imported.
Nothing in site-packages is ever written.
"""

from collections.abc import Collection
from importlib import import_module

from rlepose_ext.imports import Patch

__all__ = ['PATCHES', 'Patch', 'install']

# In the order in which they are installed.
_MODULES = (
    'flip_layout',
    'mmcv_ops',
    'xtcocotools',
    'numpy2',
    'matplotlib_canvas',
    'package_paths',
    'no_distutils',
    'no_find_loader',
    'metainfo_order',
    'js_divergence',
    'checkpoints',
    'cpu_distributed',
)

PATCHES: tuple[Patch, ...] = tuple(
    import_module(f'rlepose_ext.compat.{name}').PATCH for name in _MODULES
)


def install(off: Collection[str] = ()) -> None:
    """Install every patch but those named in ``off``, once per process."""
    for patch in PATCHES:
        if patch.name not in off:
            patch.install_once()
