"""What ``mmcv.utils.collect_env`` asks a compiled mmcv about itself."""

from __future__ import annotations

__all__ = ['get_compiler_version', 'get_compiling_cuda_version']


def get_compiler_version() -> str:
    """Stands where the log would name the compiler of mmcv's ops."""
    return 'n/a (rlepose_ext stand-in, nothing compiled)'


def get_compiling_cuda_version() -> str:
    """Stands where the log would name the CUDA version of mmcv's ops."""
    return 'n/a (rlepose_ext stand-in, nothing compiled)'
