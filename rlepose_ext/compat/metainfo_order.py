"""Joints ordered by number, and MMPose's metainfo files found from any working directory.

MMPose takes joints in the order in which they are written, whatever their numbers are. MMEngine
writes the keys of a dict in the order of text (0, 1, 10, 11, 2, ...) into the config that lies
beside a run, so a config with metainfo of more than ten joints in it would come back with wrong
flip pairs. Joints and links are put in the order of their numbers before they are parsed. And the
files of MMPose's data sets are found without a warning where the process did not start in
MMPose's checkout.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from rlepose_ext.imports import Patch, rebind, when_imported


def in_order(metainfo: dict) -> dict:
    """Metainfo with joints and links in the order of their numbers.

    Args:
        metainfo: as in a config; one that names a file, or has keys that are no numbers, is
            returned as it is.

    Returns:
        A copy with ordered ``keypoint_info`` and ``skeleton_info``.
    """
    ordered = dict(metainfo)
    for name in ('keypoint_info', 'skeleton_info'):
        info = metainfo.get(name)
        if isinstance(info, dict) and all(isinstance(key, int) for key in info):
            ordered[name] = {key: info[key] for key in sorted(info)}
    return ordered


def with_shipped_file(metainfo: dict) -> dict:
    """Metainfo whose file is MMPose's own, wherever the process was started.

    MMPose's data sets name ``configs/_base_/datasets/coco.py``, which is there in its checkout
    only; elsewhere it takes the one in its package and warns each time.

    Args:
        metainfo: as in a config.

    Returns:
        A copy with the path in the package; the same if the file is there or not MMPose's.
    """
    path = Path(metainfo.get('from_file') or '')
    if path.is_file():
        return metainfo
    shipped = Path(find_spec('mmpose').submodule_search_locations[0]) / '.mim' / path
    return {**metainfo, 'from_file': str(shipped)} if shipped.is_file() else metainfo


def _guard(module: ModuleType) -> None:
    original = module.parse_pose_metainfo

    @functools.wraps(original)
    def parse_pose_metainfo(metainfo: dict) -> dict:
        return original(in_order(with_shipped_file(metainfo)))

    rebind(original, parse_pose_metainfo, 'mmpose')


PATCH = Patch(
    name='metainfo_order',
    breaks='joints of configs that MMEngine has written are out of order: wrong flip pairs',
    since='always (MMPose 1.x with MMEngine 0.10)',
    until='MMPose reads joints by their numbers, or MMEngine keeps their order',
    install=lambda: when_imported('mmpose.datasets.datasets.utils', _guard),
)
