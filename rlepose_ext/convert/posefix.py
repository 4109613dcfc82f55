"""Checkpoints of PoseFix's PyTorch port under MMPose's names: pure functions on state dicts.

The port has torchvision's names without a prefix, and no batch norm behind the transposed
convolutions; those that the model here has are filled with what changes nothing.

====================================  ==================================================
port                                  here
====================================  ==================================================
``conv1``, ``bn1``, ``layer{1-4}``    ``backbone.`` and the same
``deconv_layers.{0,2,4}``             ``head.deconv_layers.{0,3,6}``
none                                  ``head.deconv_layers.{1,4,7}``, batch norm
``final_layer``                       ``head.final_layer``
====================================  ==================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_BACKBONE = re.compile(r'(conv1|bn1|layer[1-4]\.\d+\.(conv\d|bn\d|downsample\.[01]))\.\w+')
_DECONV = {f'deconv_layers.{port}.weight': 3 * index for index, port in enumerate((0, 2, 4))}
_FINAL = ('final_layer.weight', 'final_layer.bias')


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The port's state dict for ``PoseFixEstimator``.

    Args:
        state: with or without the prefix ``module.`` of several GPUs.

    Raises:
        UserError: keys that are not the port's, or a part is missing.
    """
    import torch

    state = {key.removeprefix('module.'): value for key, value in state.items()}
    unknown = [k for k in state if not (_BACKBONE.fullmatch(k) or k in _DECONV or k in _FINAL)]
    missing = [key for key in ('conv1.weight', *_DECONV, *_FINAL) if key not in state]
    if unknown or missing:
        raise UserError(
            "expected a checkpoint of PoseFix's PyTorch port with conv1, bn1, layer1 to layer4, "
            'deconv_layers.{0,2,4} and final_layer, got one with '
            f'{", ".join(unknown[:3]) or "no others"} and without '
            f'{", ".join(missing[:3]) or "none"}'
        )
    converted = {}
    for key, value in state.items():
        if key in _DECONV:
            layer, channels = _DECONV[key], value.shape[1]
            converted[f'head.deconv_layers.{layer}.weight'] = value
            norm = f'head.deconv_layers.{layer + 1}'
            for name, number in (
                ('weight', 1.0), ('bias', 0.0), ('running_mean', 0.0), ('running_var', 1.0)
            ):  # fmt: skip
                converted[f'{norm}.{name}'] = torch.full((channels,), number)
            converted[f'{norm}.num_batches_tracked'] = torch.tensor(0)
        else:
            part = 'head' if key in _FINAL else 'backbone'
            converted[f'{part}.{key}'] = value
    return converted
