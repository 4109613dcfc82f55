"""What this environment consists of, and whether training can work in it.

:func:`collect` is the whole report of ``rlepose doctor``. Missing packages raise no
error: versions come from package metadata, and imports are tried. A
problem is an error if training cannot work with it, and a warning if part of the documented
commands fail.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from rlepose_ext.compat import PATCHES
from rlepose_ext.engine.equip import FEATURES
from rlepose_ext.gpus import unseen_gpus
from rlepose_ext.patches import SWITCH, switched_off

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

ERROR, WARNING = 'error', 'warning'

# Modules that a training run imports. mmpose last: it needs the others.
IMPORTS = (
    'numpy',
    'cv2',
    'torch',
    'torchvision',
    'mmengine.runner',
    'mmcv',
    'pycocotools.coco',
    'mmdet',
    'mmpose.apis',
    'rlepose_ext.registry',
)


@dataclass(frozen=True)
class Problem:
    """Something to mend: ``level`` is ``'error'`` if training cannot work with it."""

    level: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Rule:
    """A package may have a version from ``low`` up to, not including, ``high``."""

    package: str
    low: str | None
    high: str | None
    level: str
    why: str
    remedy: str


# An upper bound stands here only where a test shows what fails beyond it.
RULES = (
    Rule('torch', '2.6', None, ERROR, 'older ones load unsafely', "pip install 'torch>=2.6'"),
    Rule(
        'mmengine',
        '0.10.7',
        None,
        ERROR,
        'the patches are for 0.10.7',
        "pip install --no-deps 'mmengine==0.10.7'",
    ),
    Rule(
        'mmcv',
        '2.0.0',
        '2.2',
        ERROR,
        'mmdet 3.3.0 refuses others at import',
        "pip uninstall mmcv mmcv-lite; pip install --no-deps 'mmcv-lite==2.1.0'",
    ),
    Rule('mmdet', '3.0.0', None, WARNING, 'tested with 3.3.0', "pip install 'mmdet==3.3.0'"),
    Rule(
        'mmpose',
        '1.3.0',
        None,
        ERROR,
        'the patches are for 1.3.2',
        "pip install --no-deps 'mmpose==1.3.2'",
    ),
    Rule('numpy', '1.26', None, WARNING, 'tested from 1.26 on', "pip install 'numpy>=1.26'"),
    Rule('opencv', '4.8', None, WARNING, 'tested from 4.8 on', 'install a newer one'),
)
# What mim needs, where it is installed; all else works without it.
MIM_RULES = (
    Rule(
        'setuptools',
        None,
        '82',
        WARNING,
        'mim does not start without pkg_resources; rlepose train and test do',
        "pip install 'setuptools>=70,<82'",
    ),
    Rule(
        'click',
        None,
        '8.3',
        WARNING,
        "mim's slurm launcher breaks on it, unless all its options are given",
        "pip install 'click<8.3'",
    ),
)
# The Pythons on which the tests were run.
TESTED_PYTHONS = ((3, 11), (3, 12), (3, 13))

# What cannot be missing, and how to get it where `make setup` was not used.
_REMEDIES = {
    'torch': 'pip install torch torchvision',
    'torchvision': 'pip install torch torchvision',
    'opencv': 'pip install opencv-python, or opencv-python-headless where there is no display',
    'mmengine': "pip install --no-deps 'mmengine==0.10.7' (its dependencies may bring an OpenCV)",
    'mmpose': "pip install --no-deps 'mmpose==1.3.2' (with its dependencies pip builds chumpy)",
    'mmcv': "pip install --no-deps 'mmcv-lite==2.1.0'",
}
_OFF = f'switched off ({SWITCH})'
_OF_MIM = ('openmim', 'click', 'setuptools')


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
    rows, off = [], switched_off()
    for patch in PATCHES:
        try:
            status = _OFF if patch.name in off else patch.status()
        except Exception as error:  # one that cannot tell does not hide the others
            status = f'unknown: {first_line(error)}'
        rows.append({'name': patch.name, 'status': status, 'breaks': patch.breaks})
    return rows


def features() -> list[dict[str, str]]:
    """Every feature of :mod:`rlepose_ext.engine.equip`: name, status, what it gives."""
    rows, off = [], switched_off()
    for feature in FEATURES:
        own = os.environ.get(feature.switch or '')
        status = 'active' if own is None else f'{feature.switch}={own}'
        status = _OFF if feature.name in off else status
        rows.append({'name': feature.name, 'status': status, 'gives': feature.gives})
    return rows


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def check_versions(found: dict[str, str | None]) -> list[Problem]:
    """Missing packages and versions that do not work together."""
    problems = []
    if sys.version_info[:2] not in TESTED_PYTHONS:
        remedy = 'use Python 3.11, 3.12 or 3.13'
        problems.append(Problem(WARNING, f'Python {found["python"]} is not tested', remedy))
    rules = RULES
    if found['openmim'] is not None:
        rules += MIM_RULES
    for row in PACKAGES:
        if found[row] is None and (row not in _OF_MIM or found['openmim'] is not None):
            level = WARNING if row in _OF_MIM else ERROR
            remedy = _REMEDIES.get(row, f'pip install {row}')
            problems.append(Problem(level, f'{row} is not installed', f'make setup, or: {remedy}'))
    for rule in rules:
        text = found[rule.package]
        if text and not _within(text, rule.low, rule.high):
            limits = ' and '.join(
                f'{sign} {limit}' for sign, limit in (('>=', rule.low), ('<', rule.high)) if limit
            )
            what = f'{rule.package} {text}, expected {limits}: {rule.why}'
            problems.append(Problem(rule.level, what, rule.remedy))
    for row in ('mmcv', 'mmengine'):
        if found[row] and ',' in found[row]:
            what = f'two packages provide {row}: {found[row]}'
            problems.append(Problem(ERROR, what, 'pip uninstall both, then install one of them'))
        elif found[row] and 'onedl' in found[row]:
            what = f'{row} {found[row]} is a fork: tested is that it loads checkpoints safely'
            remedy = "pip uninstall onedl-mmengine; pip install 'mmengine==0.10.7'"
            problems.append(Problem(WARNING, what, remedy))
    mended = 'package_paths' in {patch.name for patch in PATCHES} - switched_off()
    if found['setuptools'] and not mended and not _within(found['setuptools'], None, '82'):
        what = 'mmengine needs pkg_resources, which this setuptools lacks'
        problems.append(Problem(ERROR, what, "pip install 'setuptools<82'"))
    return problems


def check_torch_pair(found: dict[str, str | None]) -> list[Problem]:
    """A torchvision is built for exactly one torch."""
    for requirement in _requires('torchvision'):
        pin = re.match(r'torch\s*\(?==\s*([\w.+]+)', requirement)
        if pin and found['torch'] and not found['torch'].startswith(pin.group(1)):
            what = (
                f'torchvision {found["torchvision"]} was built for torch {pin.group(1)}, but '
                f'torch {found["torch"]} is installed'
            )
            return [Problem(ERROR, what, 'install the pair together: make setup')]
    return []


def check_imports() -> list[Problem]:
    """Import what training imports; the first failure of each chain explains the rest."""
    problems = []
    for name in IMPORTS:
        try:
            import_module(name)
        except Exception as error:  # any failure of a third-party import is the finding
            what = f'import {name} fails: {type(error).__name__}: {first_line(error)}'
            problems.append(Problem(ERROR, what, _import_remedy(name, error)))
    return problems


def check_tools() -> list[Problem]:
    """MMPose's train.py and test.py, which a source install leaves out."""
    module = sys.modules.get('mmpose')
    if module is None or module.__file__ is None:
        return []
    tools = Path(module.__file__).parent / '.mim' / 'tools'
    missing = [name for name in ('train.py', 'test.py') if not (tools / name).is_file()]
    if not missing:
        return []
    what = f'{tools} lacks {" and ".join(missing)}: mmpose was installed from source'
    return [Problem(ERROR, what, 'install the wheel: ' + _REMEDIES['mmpose'])]


def check_devices(report: dict[str, Any]) -> list[Problem]:
    """A GPU that torch cannot use."""
    if report['gpus'] or 'threads' not in report:  # torch is not there
        return []
    unseen = unseen_gpus()
    return [Problem(WARNING, *unseen)] if unseen else []


def collect() -> dict[str, Any]:
    """The whole report: versions, devices, what is in force, problems, and the verdict."""
    found = versions()
    problems = [*check_versions(found), *check_torch_pair(found), *check_imports()]
    hardware = devices()
    problems += [*check_tools(), *check_devices(hardware)]
    return {
        'ok': not any(problem.level == ERROR for problem in problems),
        'versions': found,
        'devices': hardware,
        'patches': patches(),
        'features': features(),
        'problems': [asdict(problem) for problem in problems],
    }


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


def _requires(distribution: str) -> list[str]:
    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []


def _numbers(version: str) -> tuple[int, ...]:
    """``'2.1.0 (mmcv-lite)'`` -> (2, 1, 0); enough to compare releases."""
    release = re.match(r'\d+(\.\d+)*', version)
    return tuple(int(part) for part in release.group().split('.')) if release else ()


def _within(version: str, low: str | None, high: str | None) -> bool:
    number = _numbers(version)
    return (low is None or number >= _numbers(low)) and (high is None or number < _numbers(high))


def _import_remedy(name: str, error: Exception) -> str:
    if name == 'torchvision' and 'does not exist' in str(error):
        return 'torch and torchvision are of different builds; install both from one index'
    if name == 'cv2' and 'libGL' in str(error):
        return 'pip install opencv-python-headless instead of opencv-python'
    return 'make setup; an error above this one may be the cause'
