"""The adaptive wing loss of heatmaps and offset maps.

A heatmap of 64x64 px has some 4,000 pixels of background and twenty or so of a peak. With
a squared error the many small errors outweigh the few that say where the joint is, and
near its minimum the squared error gives no slope any more, on the peak either. The
adaptive wing function (Wang, Bo, Fuxin, *Adaptive Wing Loss for Robust Face Alignment via
Heatmap Regression*, ICCV 2019, arXiv 1904.07399) bends with the label: flat
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
from rlepose_ext.registry import MODELS

# Below exponent 1 the slope is infinite at an error of 0, which times a slope of 0 is nan.
MIN_ERROR = 1e-12
# A sum over 1e10 elements of this size is still finite in float32.
MAX_ERROR = 1e25


def adaptive_wing(
    pred: Tensor,
    target: Tensor,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
) -> Tensor:
    """A curve for small errors whose shape depends on the label, a line for large ones.

    With the error d = |y - pred|, y the label (equation 3 of the paper),

        AWing(d) = omega ln(1 + (d / epsilon)^(alpha - y))      if d < theta
                 = A d - C                                      else

        A = omega / (1 + (theta / epsilon)^(alpha - y))
                  * (alpha - y) (theta / epsilon)^(alpha - y - 1) / epsilon
        C = theta A - omega ln(1 + (theta / epsilon)^(alpha - y))

    A and C make value and slope continuous at theta. Putting C in, both cases are one:

        AWing(d) = omega ln(1 + (min(d, theta) / epsilon)^(alpha - y)) + A max(d - theta, 0)

    On the background, y = 0, the exponent is 2.1, nearly that of the squared error: small
    errors hardly count. On a peak, y = 1, it is 1.1: the slope stays large to the end.

    Args:
        pred: any shape and scale, floating point.
        target: y, same shape; less than ``alpha``, else the curve falls with the error.
        alpha: keeps the exponent positive.
        omega: height of the curve.
        epsilon: scale of the error within the curve.
        theta: where the curve ends.

    Returns:
        Same shape; never negative, finite if ``target`` is and ``pred`` is not nan.
    """
    error = (target - pred).abs().clamp(max=MAX_ERROR)
    exponent = alpha - target
    edge = (theta / epsilon) ** exponent
    slope = omega * exponent * edge / (theta * (1 + edge))
    # At d = theta the curve alone gives the slope: `where` passes all of it, relu none.
    # With clamp it would depend on torch: 2.11 passes all of it, 2.14 none.
    near = torch.where(error > theta, theta, error).clamp(min=MIN_ERROR)
    curve = omega * torch.log1p((near / epsilon) ** exponent)
    return curve + slope * torch.relu(error - theta)


@MODELS.register_module()
class AdaptiveWingLoss(nn.Module):
    """Mean of the adaptive wing function over all elements.

    Arguments, interface and numbers are those of MMPose's class of this name. Unlike it,
    gradients stay finite for a weighted label above 1.1 that is met exactly (MMPose: nan)
    and for huge predictions; elements of weight 0 do not enter, whatever they hold; under
    autocast everything is computed in float32.

    Args:
        alpha: see :func:`adaptive_wing`, also for the next three.
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
