"""Heads of MMPose on labels, flip pairs or maps that they were not built for.

Stock MMPose ends in ``The size of tensor a (14) must match the size of tensor b (17)``, in
``mat1 and mat2 shapes cannot be multiplied``, or in an ``AssertionError`` without a word. Here the
losses, the flip tests and the heads over SimCC's tokens say what they expected, what came, and
which option to look at. No value changes. Can go when MMPose checks shapes and names them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.compat._rebind import rebind
from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# Channels of a joint in the modes of MMPose's flip_heatmaps.
_CHANNELS = {'heatmap': 1, 'udp_combined': 3, 'offset': 2}


def check_shapes(loss: str, outputs: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
    """Raise unless every output has the shape of its label.

    Args:
        loss: the class of the loss, for the message.
        outputs: (N, K, H, W), or one (N, K, bins) per axis.
        labels: the same of the data set.

    Raises:
        UserError: naming both shapes.
    """
    for output, label in zip(outputs, labels, strict=True):
        if output.shape != label.shape:
            raise UserError(
                f'{loss}: expected predictions and labels of one shape, got {tuple(output.shape)} '
                f'and {tuple(label.shape)}. If the second number differs, out_channels of the head '
                'is not the joint count of the data set (its metainfo). If the others do, the '
                "codec's sizes are not the model's: type them once, in codec = dict(...), and "
                "pass codec['input_size'] and its like to the head."
            )


def check_pairs(joints: int, flip_indices: Sequence[int]) -> None:
    """Raise unless there is a partner for each of the ``joints`` of a prediction."""
    if len(flip_indices) != joints:
        raise UserError(
            f'flip test: flip_indices of the metainfo has {len(flip_indices)} joints, the head '
            f'predicts {joints}. Set out_channels (or num_joints) of the head to the joint count '
            'of the data set.'
        )


def _guard_map_losses(module: ModuleType) -> None:
    for loss in (module.KeypointMSELoss, module.CombinedTargetMSELoss):
        loss.forward = _checked_maps(loss.forward)


def _checked_maps(forward: Callable) -> Callable:
    @functools.wraps(forward)
    def checked(self, output, target, *args, **kwargs):
        check_shapes(type(self).__name__, [output], [target])
        return forward(self, output, target, *args, **kwargs)

    return checked


def _guard_vector_loss(module: ModuleType) -> None:
    forward = module.KLDiscretLoss.forward

    @functools.wraps(forward)
    def checked(self, pred_simcc, gt_simcc, *args, **kwargs):
        check_shapes(type(self).__name__, pred_simcc, gt_simcc)
        return forward(self, pred_simcc, gt_simcc, *args, **kwargs)

    module.KLDiscretLoss.forward = checked


def _guard_flips(module: ModuleType) -> None:
    heatmaps_of, vectors_of = module.flip_heatmaps, module.flip_vectors
    coordinates_of = module.flip_coordinates

    @functools.wraps(heatmaps_of)
    def flip_heatmaps(heatmaps, flip_indices=None, flip_mode='heatmap', shift_heatmap=True):
        if flip_indices is not None and flip_mode in _CHANNELS:
            check_pairs(heatmaps.shape[1] // _CHANNELS[flip_mode], flip_indices)
        return heatmaps_of(heatmaps, flip_indices, flip_mode, shift_heatmap)

    @functools.wraps(vectors_of)
    def flip_vectors(x_labels, y_labels, flip_indices):
        check_pairs(x_labels.shape[1], flip_indices)
        return vectors_of(x_labels, y_labels, flip_indices)

    @functools.wraps(coordinates_of)
    def flip_coordinates(coords, flip_indices, shift_coords, input_size):
        check_pairs(coords.shape[1], flip_indices)
        return coordinates_of(coords, flip_indices, shift_coords, input_size)

    for original, checked in (
        (heatmaps_of, flip_heatmaps),
        (vectors_of, flip_vectors),
        (coordinates_of, flip_coordinates),
    ):
        rebind(original, checked, 'mmpose')


def _guard_tokens(head: type) -> None:
    forward = head.forward

    @functools.wraps(forward)
    def checked(self, feats):
        from rlepose_ext.models.heads.token_blocks import check_map

        width, height = self.in_featuremap_size
        expected = (self.in_channels, height, width)
        check_map(type(self).__name__, feats[-1], expected, 'in_channels, in_featuremap_size')
        return forward(self, feats)

    head.forward = checked


def _guard_rtmcc(module: ModuleType) -> None:
    head = module.RTMCCHead
    init = head.__init__

    @functools.wraps(init)
    def checked_init(self, *args: Any, **kwargs: Any) -> None:
        from rlepose_ext.models.heads.simcc_checks import check_codec, check_sizes

        given = inspect.signature(init).bind(self, *args, **kwargs).arguments
        check_sizes(type(self).__name__, given['input_size'], given['in_featuremap_size'])
        init(self, *args, **kwargs)
        check_codec(self)

    head.__init__ = checked_init
    _guard_tokens(head)


def install() -> None:
    """Guard each module of MMPose once it is imported."""
    losses, heads = 'mmpose.models.losses', 'mmpose.models.heads.coord_cls_heads'
    when_imported(f'{losses}.heatmap_loss', _guard_map_losses)
    when_imported(f'{losses}.classification_loss', _guard_vector_loss)
    when_imported('mmpose.models.utils.tta', _guard_flips)
    when_imported(f'{heads}.simcc_head', lambda module: _guard_tokens(module.SimCCHead))
    when_imported(f'{heads}.rtmcc_head', _guard_rtmcc)


PATCH = Patch(
    name='head_errors',
    breaks='a joint count or size that does not fit a head ends in an error of torch',
    since='always',
    until='MMPose checks shapes and names them',
    install=install,
)
