"""The project's configs at a size that two CPU cores can train: 64x64 instead of 256x192.

The benchmarks that ask whether a system learns take the real config of each system and
change as little as they can: the size of the crop and of what depends on it, the number of
joints, and the start, which is random.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
from mmengine.config import Config, ConfigDict

from rlepose_ext.errors import UserError
from rlepose_ext.models.input_size import at_input_size, dicts

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
# The families of this project; quickstart's head reads a map of a fixed size.
FAMILIES = ('rle', 'simcc_rle', 'skps', 'hrnet_lite')

# Everything else in a training pipeline is augmentation.
PLAIN_STEPS = (
    'LoadImage',
    'GetBBoxCenterScale',
    'TopdownAffine',
    'rlepose_ext.SynthesizePoseErrors',
    'GenerateTarget',
    'PackPoseInputs',
)


def systems(skip: Sequence[str] = (), families: Sequence[str] = FAMILIES) -> dict[str, Path]:
    """Short name to config of every system, in the order of the families.

    The short name is the file's without schedule, data and size: ``gau_hrnetlite-ca``. Where
    two files have the same, the first stands for both: they differ in data or weights only.

    Args:
        skip: short names to leave out.
        families: folders of ``configs/``.
    """
    found: dict[str, Path] = {}
    for family in families:
        for path in sorted((CONFIGS / family).glob('*.py')):
            name = short_name(path)
            if name not in skip:
                found.setdefault(name, path)
    return found


def short_name(path: str | Path) -> str:
    """``gau_hrnetlite-ca`` of ``gau_hrnetlite-ca_1xb64-210e_coco-256x192.py``."""
    return re.split(r'[_-]\d+xb', Path(path).stem)[0]


def chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """The names that contain one of ``only``; all of them if it is empty.

    Raises:
        UserError: no name does.
    """
    kept = [name for name in names if not only or any(part in name for part in only)]
    if not kept:
        raise UserError(f'--only {" ".join(only)}: no such system; there are {", ".join(names)}.')
    return kept


def load_small(
    path: str | Path,
    size: int,
    num_joints: int,
    edges: Sequence[tuple[int, int]] | None = None,
) -> Config:
    """A config for square crops and another skeleton, from random weights.

    Args:
        path: the config, absolute or below ``configs/``.
        size: side of the crop, input px.
        num_joints: K.
        edges: bones of the skeleton, for systems with a graph; those of COCO if absent.
    """
    config = at_input_size(Config.fromfile(CONFIGS / path), (size, size), edges=edges)
    for key in ('num_joints', 'out_channels'):
        if key in config.model.head:
            config.model.head[key] = num_joints
    if 'patch_size' in config.model.head:
        # Patches of a picture that is higher than wide do not divide a square map.
        config.model.head.patch_size = (max(config.model.head.patch_size),) * 2
    without_pretrained(config.model)
    return config


def without_pretrained(model: ConfigDict) -> None:
    """Let every part start from its own random initialisation, in place."""
    for part in dicts(model):
        init = part.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            part.pop('init_cfg')


def plain_pipeline(config: Config) -> list[dict[str, Any]]:
    """The training pipeline without augmentation; the joints in input px are packed too."""
    steps = [
        dict(step) for step in config.train_dataloader.dataset.pipeline if step.type in PLAIN_STEPS
    ]
    steps[-1]['pack_transformed'] = True
    return steps
