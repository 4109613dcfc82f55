"""YOLO-Pose checkpoints of its authors in the names of ``configs/yolopose``.

======================================  ======================================================
their ``model.``                        here
======================================  ======================================================
``0.conv``                              ``backbone.stem.conv``
``1``, ``3``, ``5``, ``7``, ``9``       ``backbone.stage1.0`` to ``backbone.stage5.0``
``2``, ``4``, ``6``, ``8``              ``backbone.stage1.1`` to ``backbone.stage4.1``
``10``, ``11``                          ``backbone.stage5.1``, ``backbone.stage5.2``
``12``, ``16``, ``20``                  ``neck.reduce_layers.0`` to ``2``
``15``, ``19``, ``23``                  ``neck.top_down_blocks.0`` to ``2``
``24``, ``27``, ``30``                  ``neck.downsamples.0`` to ``2``
``26``, ``29``, ``32``                  ``neck.bottom_up_blocks.0`` to ``2``
``33.m``, ``33.m_kpt``                  ``head.detection``, ``head.keypoints``
======================================  ======================================================

In the blocks ``cv1``, ``cv2``, ``cv3`` and ``m`` are ``main_conv``, ``short_conv``, ``final_conv``
and ``blocks``; in the pyramid of poolings and in a bottleneck ``conv1`` and ``conv2``. Values are
the same, in float32, but for the order of the first convolution's input: of each 2 x 2 pixels they
take the upper right before the lower left one, MMPose's ``CSPDarknet`` the reverse. The anchors are
no weights here; those of the file have to be the codec's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_PARTS = {
    0: 'backbone.stem',
    **{2 * i + 1: f'backbone.stage{i + 1}.0' for i in range(5)},
    **{2 * i + 2: f'backbone.stage{i + 1}.1' for i in range(4)},
    10: 'backbone.stage5.1',
    11: 'backbone.stage5.2',
    **{12 + 4 * i: f'neck.reduce_layers.{i}' for i in range(3)},
    **{15 + 4 * i: f'neck.top_down_blocks.{i}' for i in range(3)},
    **{24 + 3 * i: f'neck.downsamples.{i}' for i in range(3)},
    **{26 + 3 * i: f'neck.bottom_up_blocks.{i}' for i in range(3)},
}
_BLOCK = {'cv1': 'main_conv', 'cv2': 'short_conv', 'cv3': 'final_conv', 'm': 'blocks'}
_BOTTLENECK = {'cv1': 'conv1', 'cv2': 'conv2'}
_HEAD = {'m': 'detection', 'm_kpt': 'keypoints'}


def map_key(key: str) -> str | None:
    """Our name of one of theirs; None if it is no weight of YOLO-Pose."""
    match = re.fullmatch(r'(?:module\.)?model\.(\d+)\.(.+)', key)
    if match is None:
        return None
    number, rest = int(match[1]), match[2].split('.')
    if number == 33:
        branch = _HEAD.get(rest[0])
        return branch and '.'.join(['head', branch, *rest[1:]])
    part = _PARTS.get(number)
    if part is None:
        return None
    if number != 10 and rest[0] in _BLOCK:
        rest[0] = _BLOCK[rest[0]]
    return '.'.join([part, *(_BOTTLENECK.get(name, name) for name in rest)])


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict for ``configs/yolopose``.

    Args:
        state: theirs; one without ``model.33.m_kpt``, a detector of persons, serves to start a
            training from.

    Raises:
        UserError: keys that are not YOLO-Pose's, a part is missing, or other anchors.
    """
    from rlepose_ext.registry import KEYPOINT_CODECS

    ours = KEYPOINT_CODECS.build(
        {'type': 'rlepose_ext.YOLOPoseLabel', 'input_size': (1, 1)}
    ).anchors
    grid = {key: value for key, value in state.items() if re.search(r'\.anchor(s|_grid)$', key)}
    names = {key: map_key(key) for key in state if key not in grid}
    unknown = [key for key, name in names.items() if name is None]
    parts = {name.rsplit('.', 1)[0] for name in names.values() if name}
    missing = [part for part in _PARTS.values() if not any(p.startswith(part) for p in parts)]
    if unknown or missing:
        said = f'unknown keys {", ".join(unknown[:4])}' if unknown else f'no {missing[0]}'
        raise UserError(
            "expected the weights of YOLO-Pose's yolov5s6 with four levels, "
            f'model.0.conv.conv.weight to model.33.m_kpt.3.11.bias, got others: {said}. '
            'A checkpoint with backbone.stem.* is in these names already.'
        )
    for key, value in grid.items():
        sizes = value.float().reshape(-1, 3, 2).tolist()
        if key.endswith('anchor_grid') and not np.allclose(sizes, ours):
            raise UserError(
                f'{key} has other anchors than the configs: {sizes}. Set '
                'them as `anchors` of the codec, and leave this key out of the file.'
            )
    converted = {
        names[key]: value.float() if value.is_floating_point() else value
        for key, value in state.items()
        if key in names
    }
    stem = converted['backbone.stem.conv.conv.weight']
    parts = stem.unflatten(1, (4, -1))  # upper left, upper right, lower left, lower right
    converted['backbone.stem.conv.conv.weight'] = parts[:, [0, 2, 1, 3]].flatten(1, 2)
    return converted


def remark(converted: Mapping[str, Tensor]) -> str:
    """What to say of a converted model: the authors also publish detectors of persons."""
    if any(name.startswith('head.keypoints.') for name in converted):
        return ''
    return 'There is no branch for joints in it: as load_from it starts a training.'
