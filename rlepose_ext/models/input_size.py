"""Another input size for a config whose weights depend on it."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config

from rlepose_ext.checks import check_counts, check_size
from rlepose_ext.errors import UserError

MAP_SIZES = ('heatmap_size', 'in_featuremap_size')


def at_input_size(
    config: Config,
    size: Sequence[int],
    num_joints: int | None = None,
    edges: Sequence[Sequence[int]] | None = None,
) -> Config:
    """Rewrite a loaded config of the HRNet-Lite family for another input size.

    Every ``input_size`` (codec, pipelines, head, backbone) becomes ``size``; the maps,
    ``heatmap_size`` and ``in_featuremap_size``, change in proportion. Widths that the config
    gives as multiples of a map or of the bins follow when the model is built. What stays is
    ``sigma`` of the codec, in bins or heatmap px, and the data set.

    Args:
        config: as loaded; it is not changed.
        size: width and height, input px.
        num_joints: K of the head, if it changes.
        edges: the skeleton for graph networks, pairs of joint indices, if it changes.

    Returns:
        A new config; the file that ``config`` was loaded from does not describe it.

    Raises:
        UserError: the config has no codec with an input size, ``size`` is no width and height
            above 0, ``num_joints`` no count, or a map would not have whole pixels.
    """
    config = copy.deepcopy(config)
    old = config.get('codec', {}).get('input_size')
    if old is None:
        raise UserError(
            'at_input_size: expected a config with codec.input_size, got one without. Take one of '
            'configs/hrnet_lite.'
        )
    check_size('at_input_size', size=size)
    if num_joints is not None:
        check_counts('at_input_size', num_joints=num_joints)
    for node in dicts(config._cfg_dict):
        if 'input_size' in node:
            node['input_size'] = tuple(size)
        for name in MAP_SIZES:
            if name in node:
                node[name] = _in_proportion(name, node[name], old, size)
    head = config.model.head
    if num_joints is not None:
        head.out_channels = num_joints
    if edges is not None and head.type == 'rlepose_ext.TokenSimCCHead':
        head.skeleton = [tuple(edge) for edge in edges]
    return config


def _in_proportion(name: str, map_size: Sequence[int], old: Sequence[int], new: Sequence[int]):
    if any(n * m % o for n, m, o in zip(new, map_size, old, strict=True)):
        raise UserError(
            f'at_input_size: {name} {tuple(map_size)} at input {tuple(old)} has no whole number '
            f"of pixels at {tuple(new)}. Choose multiples of the backbone's stride."
        )
    return tuple(n * m // o for n, m, o in zip(new, map_size, old, strict=True))


def dicts(node: Any) -> Iterator[dict]:
    """Every dict inside of a config."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from dicts(value)
