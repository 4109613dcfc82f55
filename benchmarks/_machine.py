"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

# On import: a benchmark may confine itself to one core later.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
# Instructions that decide how fast convolutions and matrix products are.
FLAGS = (
    *('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'avx512_fp16'),
    *('amx_tile', 'amx_int8', 'amx_bf16', 'asimd', 'sve', 'bf16'),
)


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, torch's threads, load, and GPU if any.

    Virtual machines often hide the name of the processor: "AMD EPYC" is several generations.
    Family, model and stepping tell which; they are ``None`` where the system does not say.
    """
    import torch

    found: dict[str, Any] = {
        **cpu(),
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else CORES,
        'threads': torch.get_num_threads(),
        'load': round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None,
        'system': f'{platform.system()} {platform.machine()}',
    }
    if gpu():
        found |= {'gpu': gpu(), 'cuda': torch.version.cuda}
    return found


def gpu() -> str | None:
    """Name of the GPU that torch takes, if there is one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def cpu(info: Path = Path('/proc/cpuinfo')) -> dict[str, Any]:
    """Name, family, model, stepping and the :data:`FLAGS` of the first processor.

    Args:
        info: the file that Linux describes processors in.
    """
    first = info.read_text().split('\n\n')[0] if info.is_file() else ''
    fields = dict(re.findall(r'^([^\t:]+)\t*: ?(.*)$', first, re.M))
    flags = (fields.get('flags') or fields.get('Features', '')).split()
    name = fields.get('model name') or platform.processor() or platform.machine()
    numbers = {
        key: int(fields[field]) if fields.get(field, '').isdecimal() else None
        for key, field in (
            ('cpu_family', 'cpu family'),
            ('cpu_model', 'model'),
            ('cpu_stepping', 'stepping'),
        )
    }
    return {'cpu': name, **numbers, 'cpu_flags': [flag for flag in FLAGS if flag in flags]}


def kind() -> str:
    """The kind of machine, as a part of file names: ``amd-epyc-family25-model1-2cores``."""
    found = cpu()
    parts = [re.sub(r'\((?:R|TM)\)|\bCPU\b|\bProcessor\b|@.*', ' ', found['cpu'], flags=re.I)]
    parts += [
        f'{name}{found[f"cpu_{name}"]}'
        for name in ('family', 'model')
        if found[f'cpu_{name}'] is not None
    ]
    parts.append(f'{CORES}cores')
    parts.append(gpu() or '')
    return re.sub(r'[^a-z0-9]+', '-', ' '.join(parts).lower()).strip('-')
