"""Integral regression without its bias, by the formula of the paper (Gu et al., ICCV 2021).

The formulas are in :mod:`rlepose_ext.models.heads.debiased_integral_functional`. MMPose's
``DSNTHead(debias=True)`` has a formula that corrects almost nothing; everything else of it, layers,
losses, flip test and state dict, is used as it is.
"""

from typing import Any

from mmpose.models.heads import DSNTHead
from torch import Tensor

from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.debiased_integral_functional import integral, remove_bias
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class DebiasedIntegralHead(DSNTHead):
    """MMPose's ``DSNTHead`` with the debiasing of the paper.

    It supervises the coordinates and the heatmaps after the softmax. Its state dict is that of
    ``DSNTHead``, so MMPose's checkpoints load; one that was trained with MMPose's formula gives
    other coordinates here.

    Args:
        args: those of ``DSNTHead``.
        debias: remove the bias. Without it the head is ``DSNTHead(debias=False)``.
        max_gain: how much further from the middle of the map the correction may move a joint;
            see :func:`remove_bias`.
        kwargs: those of ``DSNTHead``.

    Raises:
        ValueError: ``max_gain`` is below 1.
    """

    def __init__(
        self, *args: Any, debias: bool = True, max_gain: float = 20.0, **kwargs: Any
    ) -> None:
        super().__init__(*args, debias=debias, **kwargs)
        if not max_gain >= 1:
            raise ValueError(f'max_gain must be at least 1, got {max_gain}')
        self.max_gain = max_gain

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Coordinates and heatmaps.

        Args:
            feats: feature maps; without deconvolutions the last one counts.

        Returns:
            coords: normalised by the crop, shape (N, K, 2).
            heatmaps: after the softmax, shape (N, K, H, W).

        Raises:
            UserError: maps of another size than ``in_featuremap_size`` leads to. The bias and
                what is decoded depend on it.
        """
        if self.simplebaseline_head is not None:
            logits = self.simplebaseline_head(feats)
        elif self.final_layer is not None:
            logits = self.final_layer(feats[-1])
        else:
            logits = feats[-1]
        size = tuple(logits.shape[:1:-1])
        if size != tuple(self.heatmap_size):
            raise UserError(
                f'DebiasedIntegralHead: expected heatmaps of (width, height) '
                f'{tuple(self.heatmap_size)}, got {size}. Set in_featuremap_size to that of the '
                "last feature map, and the codec's input_size to that of the images."
            )
        coords, heatmaps, log_mass = integral(logits, self.beta)
        if self.debias:
            coords = remove_bias(coords, log_mass, size, self.max_gain)
        return coords, heatmaps
