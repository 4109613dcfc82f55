"""Metainfo of a data set, read as it stands: what is wrong in it is listed, not raised.

MMPose's ``parse_pose_metainfo`` stops at the first mistake, and needs torch and a second of
imports. Here joints that swap with a wrong name stay as joints that do not swap, so that the
poses can still be looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.quiet import without_logs
from rlepose_ext.resources import resource

_WHITE = (255, 255, 255)
_EXPECTED = (
    'Expected a Python file with dataset_info = dict(dataset_name=..., keypoint_info=..., '
    'skeleton_info=..., joint_weights=..., sigmas=...), or a config with such a metainfo; '
    'docs/datasets.md has an example'
)


@dataclass(frozen=True)
class PoseMeta:
    """Joints, their partners in a mirrored image, and the lines between them.

    Attributes:
        source: the file, for messages.
        name: of the data set.
        joints: K names, in the order of the annotations.
        partners: K indices; a joint in the middle is its own partner.
        links: pairs of joints to draw.
        colors: K colours, RGB.
        problems: what is wrong, each a sentence.
    """

    source: str
    name: str
    joints: tuple[str, ...]
    partners: tuple[int, ...]
    links: tuple[tuple[int, int], ...] = ()
    colors: tuple[tuple[int, int, int], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Joints that change places, each pair once."""
        return [(a, b) for a, b in enumerate(self.partners) if a < b and self.partners[b] == a]


def parse(info: Mapping[str, Any], source: str) -> PoseMeta:
    """Read a metainfo dict.

    Raises:
        UserError: there are no joints in it, or they are not numbered from 0.
    """
    joints = info.get('keypoint_info')
    if not isinstance(joints, Mapping) or not joints:
        raise UserError(f'metainfo {source} has no keypoint_info. {_EXPECTED}.')
    if sorted(joints, key=str) != sorted(range(len(joints)), key=str):
        raise UserError(
            f'metainfo {source}: the keys of keypoint_info are {sorted(joints, key=str)}; number '
            f'the {len(joints)} joints 0 to {len(joints) - 1}, in the order of the annotations.'
        )
    entries = [joints[index] for index in range(len(joints))]
    if not all(isinstance(entry, Mapping) and entry.get('name') for entry in entries):
        raise UserError(f'metainfo {source}: a joint of keypoint_info has no name. {_EXPECTED}.')
    names = [str(entry['name']) for entry in entries]
    index_of = {name: index for index, name in enumerate(names)}
    problems = []
    if len(index_of) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        problems.append(f'several joints have the name {", ".join(twice)}')
    partners = []
    for index, entry in enumerate(entries):
        swap = entry.get('swap') or names[index]
        if swap not in index_of:
            problems.append(f'{names[index]} swaps with {swap!r}, which is no joint')
        partners.append(index_of.get(swap, index))
    for joint, partner in enumerate(partners):
        back = partners[partner]
        if back != joint:
            problems.append(
                f'joint {names[joint]!r} swaps with {names[partner]!r}, but that one swaps with '
                f"{names[back]!r}. Set `swap` of the two to each other's name ('' for a joint in "
                'the middle)'
            )
    links, unknown = _links(info.get('skeleton_info') or {}, index_of)
    problems += [f'a link of skeleton_info names {name!r}, which is no joint' for name in unknown]
    for key in ('sigmas', 'joint_weights'):
        values = info.get(key)
        if values is None:
            problems.append(f'{key} is missing; MMPose asks for it')
        elif len(values) not in (0, len(names)):
            problems.append(f'{key} has {len(values)} entries for {len(names)} joints')
    if 'dataset_name' not in info:
        problems.append('dataset_name is missing; MMPose asks for it')
    if 'skeleton_info' not in info:
        problems.append('skeleton_info is missing; MMPose asks for it')
    colors = tuple(tuple(entry.get('color') or _WHITE) for entry in entries)
    return PoseMeta(
        source=source,
        name=str(info.get('dataset_name', '')),
        joints=tuple(names),
        partners=tuple(partners),
        links=links,
        colors=colors,
        problems=tuple(problems),
    )


def _links(
    skeleton: Mapping[Any, Mapping[str, Any]], index_of: Mapping[str, int]
) -> tuple[tuple[tuple[int, int], ...], list[str]]:
    links, unknown = [], []
    for link in skeleton.values():
        ends = link.get('link', ())
        unknown += [name for name in ends if name not in index_of]
        if len(ends) == 2 and all(name in index_of for name in ends):
            links.append((index_of[ends[0]], index_of[ends[1]]))
    return tuple(links), unknown


def load_metainfo(source: str | Path) -> PoseMeta:
    """Metainfo from a file.

    Args:
        source: a file with ``dataset_info``, or a config with ``metainfo``;
            ``'mmpose:coco'`` for the one that MMPose ships of that name, and
            ``'ours:lsp_topdown'`` for that of ``configs/_base_/datasets/lsp_topdown.py``.

    Raises:
        UserError: no such file, or nothing of the kind in it.
    """
    path = _find(str(source))
    if not path.is_file():
        raise UserError(f'metainfo file {path} does not exist (seen from {Path.cwd()}).')
    content = read_config(path)
    return read_metainfo(content.get('dataset_info') or content.get('metainfo'), str(source))


def read_config(path: str | Path, imports: bool = True) -> Mapping[str, Any]:
    """A config or a file of metainfo, as a dict.

    Args:
        path: of the file.
        imports: whether to import its ``custom_imports``.

    Raises:
        UserError: it cannot be executed.
    """
    from mmengine.config import Config

    try:
        with without_logs(logging.INFO):  # it reports RLEPOSE_DATA on the standard output
            return Config.fromfile(str(path), import_custom_modules=imports)
    except Exception as error:  # it is a program: anything may happen
        raise UserError(
            f'{path} cannot be read as a config or metainfo ({type(error).__name__}: {error}).'
        ) from error


def read_metainfo(info: Any, source: str) -> PoseMeta:
    """Metainfo as configs have it: a dict, or ``dict(from_file=...)``.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(info, Mapping):
        raise UserError(f'{source} has neither dataset_info nor metainfo. {_EXPECTED}.')
    if 'from_file' not in info:
        return parse(info, source)
    path = Path(info['from_file'])
    # MMPose looks in its own folder for a file that does not exist.
    return load_metainfo(path if path.is_file() else f'mmpose:{path.stem}')


def problems_of(info: Mapping[str, Any]) -> list[str]:
    """What is wrong in metainfo of a config: sentences that name it; none if all is well."""
    source = str(info.get('from_file') or info.get('dataset_name', 'without a name'))
    try:
        meta = read_metainfo(info, source)
    except UserError as error:
        return [str(error)]
    return [f'metainfo {source}: {problem}' for problem in meta.problems]


def _find(source: str) -> Path:
    kind, _, name = source.partition(':')
    if kind == 'mmpose' and name:
        package = Path(find_spec('mmpose').submodule_search_locations[0])
        return package / '.mim/configs/_base_/datasets' / f'{name}.py'
    if kind == 'ours' and name:
        return resource(f'configs/_base_/datasets/{name}.py')
    return Path(source)
