"""The adaptive wing loss of heatmaps and offset maps.

A heatmap of 64x64 px has some 4,000 pixels of background and twenty or so of a peak. With
a squared error the many small errors outweigh the few that say where the joint is, and
near its minimum the squared error gives no slope any more, on the peak either. The
adaptive wing function (:func:`.skps_functional.adaptive_wing`) bends with the label: flat
around zero for background, steep to the last for a peak.

SKPS uses it twice, :class:`rlepose_ext.models.heads.SKPSHead` puts the parts together:

    loss_heatmap = AWing(heatmap, g),                           weight of each joint
    loss_offset  = 1/2 [AWing(offset_x, d_x) + AWing(offset_y, d_y)],   weight g

The weight of an offset is the labelled heatmap g itself, pixel by pixel: an offset counts
as much as the pixel is likely to be the one that is read. A weight w multiplies prediction
and label, AWing(w pred, w y), as in MMPose, and not the loss. Far from the joint a wrong
offset so becomes a small error, where the function is flat; it is also why the label's
exponent alpha - y depends on w. The largest weighted label is

    max over r of  r exp(-r^2 / (2 sigma^2)) = sigma exp(-1/2),   1.21 px for sigma = 2,

and has to stay below alpha, which the head checks.
"""

import torch
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.losses.skps_functional import adaptive_wing
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class AdaptiveWingLoss(nn.Module):
    """Mean of the adaptive wing function over all elements.

    Arguments, interface and numbers are those of MMPose's class of this name. Unlike it,
    gradients stay finite for a weighted label above 1.1 that is met exactly (MMPose: nan)
    and for huge predictions; elements of weight 0 do not enter, whatever they hold; under
    autocast everything is computed in float32.

    Args:
        alpha: see :func:`.skps_functional.adaptive_wing`, also for the next three.
        omega: ...
        epsilon: ...
        theta: ...
        use_target_weight: multiply prediction and label by the weights.
        loss_weight: factor of the whole.

    Raises:
        UserError: a parameter is not positive.
    """

    def __init__(
        self,
        alpha: float = 2.1,
        omega: float = 14.0,
        epsilon: float = 1.0,
        theta: float = 0.5,
        use_target_weight: bool = False,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        parameters = {'alpha': alpha, 'omega': omega, 'epsilon': epsilon, 'theta': theta}
        for name, value in parameters.items():
            if not value > 0:
                raise UserError(
                    f'AdaptiveWingLoss: {name} is {value}, expected more than 0. The usual '
                    'values are alpha 2.1, omega 14, epsilon 1, theta 0.5.'
                )
            setattr(self, name, float(value))
        self.use_target_weight = use_target_weight
        self.loss_weight = loss_weight

    def forward(
        self, output: Tensor, target: Tensor, target_weights: Tensor | None = None
    ) -> Tensor:
        """Average the function over the batch, joints and pixels, those of weight 0 too.

        Args:
            output: predicted maps, shape (N, K, H, W).
            target: labels, same shape.
            target_weights: shape (N, K) or (N, K, H, W); 0 for what has no label. Labels
                that are not finite count as weight 0.

        Returns:
            Scalar. Zero, with zero gradients, if nothing counts.

        Raises:
            UserError: weights are wanted and missing, or shapes do not fit.
        """
        weights = self._check(output, target, target_weights)
        dtype = torch.promote_types(output.dtype, torch.float32)
        output, target = output.to(dtype), target.to(dtype)
        counts = target.isfinite()
        if weights is not None:
            counts = counts & (weights > 0)
        # Masked before they are multiplied: 0 times infinity is nan, also going backward.
        output, target = output.where(counts, 0.0), target.where(counts, 0.0)
        if weights is not None:
            output, target = output * weights, target * weights
        loss = adaptive_wing(output, target, self.alpha, self.omega, self.epsilon, self.theta)
        return loss.mean() * self.loss_weight

    def _check(self, output: Tensor, target: Tensor, weights: Tensor | None) -> Tensor | None:
        """Weights that broadcast over the maps, or None where they are not wanted."""
        if output.ndim != 4 or output.shape != target.shape:
            raise UserError(
                'AdaptiveWingLoss: expected predictions and labels of one shape (N, K, H, W), got '
                f'{tuple(output.shape)} and {tuple(target.shape)}. If K differs, out_channels of '
                'the head does not fit the data set; if H or W does, heatmap_size of the codec '
                "does not fit the backbone's stride."
            )
        if not self.use_target_weight:
            return None
        shapes = (target.shape[:2], target.shape)
        if weights is None or weights.shape not in shapes:
            raise UserError(
                'AdaptiveWingLoss: use_target_weight=True needs weights of shape (N, K) or '
                f'(N, K, H, W) beside labels {tuple(target.shape)}, got '
                f'{weights if weights is None else tuple(weights.shape)}. Pack keypoint_weights, '
                'or set use_target_weight=False.'
            )
        return weights[..., None, None] if weights.ndim == 2 else weights
