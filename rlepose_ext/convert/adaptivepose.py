"""AdaptivePose's checkpoints in the names of ``configs/adaptivepose``.

The network is the same, only names differ, and not even all: HRNet's are MMPose's.

=====================================================  ==================================
authors' code                                          here
=====================================================  ==================================
``conv1``, ``bn1``, ..., ``stage4``                    ``backbone.``, the same
``hm.0``, ``hps.0``                                    ``head.centre.0``, ``head.pose.0``
``hm_hp.0``, ``hm_hp.2``                               ``head.joint_maps.0.0``, ``.1``
``sampler.searcher``                                   ``head.searcher``
``sampler.feat_trans.i.{conv,bn}``                     ``head.parts.i.reduce.{conv,bn}``
``sampler.feat_agg.i``                                 ``head.parts.i.deform``
``sampler.feat_agg.i.conv_offset_mask``, or            ``head.parts.i.deform``
``.param_generator`` in the branch ``new_ops``         ``.conv_offset_mask``
``sampler.pred_kps_list.i``                            ``head.parts.i.joints``
``sampler.ct_feat_trans``                              ``head.centre_reduce``
``sampler.squeeze_ct.conv``, ``sampler.pred_ct_hm``    ``head.centre_out.0.0``, ``.1``
=====================================================  ==================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# Pattern of a name's beginning, and what stands in its place.
_NAMES = (
    (r'(conv[12]|bn[12]|layer1|transition[123]|stage[234])\.', r'backbone.\1.'),
    (r'hm\.0\.', 'head.centre.0.'),
    (r'hps\.0\.', 'head.pose.0.'),
    (r'hm_hp\.0\.', 'head.joint_maps.0.0.'),
    (r'hm_hp\.2\.', 'head.joint_maps.1.'),
    (r'sampler\.searcher\.', 'head.searcher.'),
    (r'sampler\.feat_trans\.(\d+)\.(conv|bn)\.', r'head.parts.\1.reduce.\2.'),
    (
        r'sampler\.feat_agg\.(\d+)\.(conv_offset_mask|param_generator)\.',
        r'head.parts.\1.deform.conv_offset_mask.',
    ),
    (r'sampler\.feat_agg\.(\d+)\.(?=weight$|bias$)', r'head.parts.\1.deform.'),
    (r'sampler\.pred_kps_list\.(\d+)\.', r'head.parts.\1.joints.'),
    (r'sampler\.ct_feat_trans\.', 'head.centre_reduce.'),
    (r'sampler\.squeeze_ct\.conv\.', 'head.centre_out.0.0.'),
    (r'sampler\.pred_ct_hm\.', 'head.centre_out.1.'),
)


def map_key(key: str) -> str | None:
    """The name here; None if it is not AdaptivePose's."""
    for pattern, name in _NAMES:
        new, count = re.subn(f'^{pattern}', name, key)
        if count:
            return new
    return None


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map a whole model.

    Args:
        state: the authors' state dict, with or without ``module.`` before each name.

    Raises:
        UserError: names that are not AdaptivePose's on HRNet, or parts that are missing.
    """
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    names = {key: map_key(key) for key in state}
    unknown = [key for key, name in names.items() if name is None]
    if unknown:
        raise UserError(
            f'these keys are not those of AdaptivePose on HRNet: {", ".join(unknown[:5])} '
            f'({len(unknown)} in all). Expected conv1.*, ..., stage4.*, hm.*, hps.* and sampler.*.'
        )
    found = {'.'.join(name.split('.')[:2]) for name in names.values()}
    head = {name.split('.')[1] for _, name in _NAMES[1:]} - {'joint_maps'}
    expected = {f'head.{part}' for part in head} | {'backbone.conv1', 'backbone.stage4'}
    if missing := sorted(expected - found):
        raise UserError(f'the model is incomplete: nothing becomes {", ".join(missing)}.')
    return {names[key]: value for key, value in state.items()}
