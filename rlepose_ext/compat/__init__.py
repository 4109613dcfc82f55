"""Everything that makes the frozen OpenMMLab stack run on today's Python and torch.

One file per problem. Each exports ``PATCH``, which says what breaks without it,
since when, and when the file can be deleted. :func:`install` only puts a finder
into ``sys.meta_path``; the work happens when the module concerned is imported.
Nothing in site-packages is ever written.
"""

from importlib import import_module

from rlepose_ext.compat._imports import Patch

__all__ = ['PATCHES', 'Patch', 'install']

# In the order in which they are installed.
_MODULES = (
    'cpu_training',
    'flip_layout',
    'mmcv_ops',
    'xtcocotools',
    'numpy2',
    'matplotlib_canvas',
    'package_paths',
    'no_distutils',
    'no_find_loader',
    'image_errors',
    'annotation_errors',
    'metainfo_errors',
    'head_errors',
    'data_root',
    'js_divergence',
    'checkpoints',
    'checkpoint_match',
    'checkpoint_writing',
    'cpu_distributed',
    'averaged_buffers',
    'throughput',
    'bad_loss',
    'out_of_range_labels',
    'interruption',
    'exact_resume',
    'log_writing',
)

PATCHES: tuple[Patch, ...] = tuple(
    import_module(f'rlepose_ext.compat.{name}').PATCH for name in _MODULES
)


def install() -> None:
    """Install every patch, once per process."""
    for patch in PATCHES:
        patch.install_once()
