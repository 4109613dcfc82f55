"""The adaptive wing function, element by element.

Wang, Bo, Fuxin, *Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression*,
ICCV 2019, arXiv 1904.07399. :mod:`rlepose_ext.models.losses.skps_loss` tells why.
"""

import torch
from torch import Tensor

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
