"""Metainfo that contradicts itself gets an error or a warning that names it.

Stock MMPose raises a bare ``KeyError`` or ``AssertionError`` where a name is wrong; here the
error says which. And it trains on without a word where joints do not swap in pairs
(``flip_indices`` is then no involution: flip augmentation and flip test move joints onto the
wrong ones) or where ``sigmas`` has another length than ``keypoint_info``; here it warns.

It also takes joints in the order in which they are written, whatever their numbers are. MMEngine
writes the keys of a dict in the order of text (0, 1, 10, 11, 2, ...) into the config that lies
beside a run, so a config with metainfo of more than ten joints in it would come back with wrong
flip pairs. Joints and links are put in the order of their numbers before they are parsed. And the
files of MMPose's data sets are found without a warning where the process did not start in
MMPose's checkout.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from rlepose_ext.compat._data_errors import DataError
from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.compat._rebind import rebind


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


def check_metainfo(parsed: dict, source: str) -> None:
    """Raise if parsed metainfo (the dict that datasets hold) is inconsistent.

    The data sets make a warning of it, since MMPose can go on.

    Args:
        parsed: ``num_keypoints``, ``flip_indices``, ``sigmas``, ``keypoint_id2name`` and
            ``keypoint_name2id`` as MMPose's ``parse_pose_metainfo`` returns them.
        source: the file or data set, for the message.

    Raises:
        DataError: see the module.
    """
    count = parsed['num_keypoints']
    names = parsed['keypoint_id2name']
    if sorted(names) != list(range(count)):
        raise DataError(
            f'metainfo {source}: the keys of keypoint_info are {sorted(names)}; number the '
            f'{count} joints 0 to {count - 1}, in the order of the annotations.'
        )
    if len(parsed['keypoint_name2id']) != count:
        raise DataError(
            f'metainfo {source}: keypoint_info has {count} joints, but only '
            f'{len(parsed["keypoint_name2id"])} different names. Give each its own.'
        )
    # Many of MMPose's own data sets have no sigmas at all; they are not scored by OKS.
    if len(parsed['sigmas']) not in (0, count):
        raise DataError(
            f'metainfo {source}: sigmas has {len(parsed["sigmas"])} entries, keypoint_info has '
            f'{count} joints. Give one for each joint, or none.'
        )
    check_flip_indices(parsed['flip_indices'], count, names, source)


def check_flip_indices(flip_indices: list, count: int, names: dict, source: str) -> None:
    """Raise unless flipping twice gives every one of ``count`` joints back.

    Raises:
        DataError: wrong length, an index out of range, or joints that do not swap in pairs.
    """
    if len(flip_indices) != count:
        raise DataError(
            f'metainfo {source}: flip_indices has {len(flip_indices)} entries for {count} joints.'
        )
    for joint, partner in enumerate(flip_indices):
        if not 0 <= partner < count:
            raise DataError(
                f'metainfo {source}: flip_indices sends joint {joint} ({names[joint]!r}) to '
                f'{partner}; there are joints 0 to {count - 1}.'
            )
        back = flip_indices[partner]
        if back != joint:
            raise DataError(
                f'metainfo {source}: joint {names[joint]!r} swaps with {names[partner]!r}, but '
                f'that one swaps with {names.get(back, back)!r}. Set `swap` of the two to each '
                "other's name ('' for a joint in the middle)."
            )


def _guard(module: ModuleType) -> None:
    original = module.parse_pose_metainfo

    def parse_pose_metainfo(metainfo: dict) -> dict:
        source = metainfo.get('from_file') or metainfo.get('dataset_name', 'without a name')
        try:
            parsed = original(in_order(with_shipped_file(metainfo)))
        except FileNotFoundError:
            raise  # it names the file
        except KeyError as error:
            raise DataError(
                f'metainfo {source}: a `swap` or a skeleton `link` names {error}, which is no '
                'joint of its keypoint_info. Correct the name.'
            ) from error
        except AssertionError as error:
            raise DataError(
                f'metainfo {source} lacks one of dataset_name, keypoint_info, skeleton_info, '
                'joint_weights, sigmas. See configs/_base_/datasets in MMPose for examples.'
            ) from error
        try:
            check_metainfo(parsed, str(source))
        except DataError as error:
            warnings.warn(str(error), stacklevel=2)
        return parsed

    parse_pose_metainfo.__doc__ = original.__doc__
    rebind(original, parse_pose_metainfo, 'mmpose')


def install() -> None:
    """Guard MMPose's parser of metainfo once it is imported."""
    when_imported('mmpose.datasets.datasets.utils', _guard)


PATCH = Patch(
    name='metainfo_errors',
    breaks='wrong flip pairs are trained on silently; joints of dumped configs are out of order',
    since='always (MMPose 1.x)',
    until='MMPose checks metainfo',
    install=install,
)
