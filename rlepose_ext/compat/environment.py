"""What this environment consists of: versions, devices, patches in force.

The facts behind ``rlepose doctor``. Every function survives whatever is missing:
versions come from package metadata, and what must be imported is tried.
"""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from rlepose_ext.compat import PATCHES

_OPENCV = ('python', 'python-headless', 'contrib-python', 'contrib-python-headless')
# Rows of the report, and the distributions that may provide each.
PACKAGES = {
    'torch': ('torch',),
    'torchvision': ('torchvision',),
    'numpy': ('numpy',),
    'opencv': tuple(f'opencv-{kind}' for kind in _OPENCV),
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite'),
    'mmdet': ('mmdet',),
    'mmpose': ('mmpose',),
    'openmim': ('openmim',),
    'pycocotools': ('pycocotools',),
    'setuptools': ('setuptools',),
    'click': ('click',),
}


def versions() -> dict[str, str | None]:
    """Installed versions by row of the report; ``None`` where missing."""
    rows: dict[str, str | None] = {'python': platform.python_version()}
    for row, names in PACKAGES.items():
        found = [(name, _version(name)) for name in names]
        texts = [v if name == row else f'{v} ({name})' for name, v in found if v]
        rows[row] = ', '.join(texts) or None
    return rows


def devices() -> dict[str, Any]:
    """CPU cores, threads, GPUs and their bfloat16."""
    cores = os.cpu_count() or 1
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    report: dict[str, Any] = {'cpu_cores': cores, 'cpu_bf16': _cpu_bf16(), 'gpus': []}
    try:
        import torch
    except Exception:  # reported by check_imports
        return report
    report['threads'] = torch.get_num_threads()
    report['torch_cuda'] = torch.version.cuda
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(i)
            memory = round(card.total_memory / 2**30, 1)
            bf16 = card.major >= 8
            report['gpus'].append({'name': card.name, 'memory_gib': memory, 'bf16': bf16})
    return report


def patches() -> list[dict[str, str]]:
    """Every patch of :mod:`rlepose_ext.compat`: name, status, what breaks without it."""
    rows = []
    for patch in PATCHES:
        try:
            status = patch.status()
        except Exception as error:  # one that cannot tell does not hide the others
            status = f'unknown: {first_line(error)}'
        rows.append({'name': patch.name, 'status': status, 'breaks': patch.breaks})
    return rows


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu_bf16() -> bool | None:
    """Whether the CPU multiplies bfloat16 in hardware; ``None`` where it does not say."""
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return None
    return bool(re.search(r'\b(avx512_bf16|amx_bf16|bf16)\b', text))
