"""Selective kernel (SK): each channel chooses how wide it looks.

Li, Wang, Hu, Yang, *Selective Kernel Networks*, CVPR 2019, arXiv 1903.06586, section 3.1.

Two branches see the input at two scales, 3x3 px and, by dilation 2, 5x5 px. What the whole
image looks like decides how each channel mixes them. With C channels and r = 16, L = 32,

    U1 = relu(bn(conv3(X))),  U2 = relu(bn(conv3_dilated(X)))        split
    U  = U1 + U2                                                     eq. 1
    s  = mean of U over the pixels, C values                         eq. 2
    z  = relu(bn(W s)), d values                                     eq. 3
    d  = max(C / r, L)                                               eq. 4
    a_i = exp(A_i z) / (exp(A_1 z) + exp(A_2 z)), C values           eq. 5
    V  = a_1 . U1 + a_2 . U2                                         eq. 6

with eq. 5 and 6 per channel: a_1 + a_2 = 1 for each. The weights are the same for all
pixels; a choice per pixel is what :mod:`~rlepose_ext.models.layers.large_selective_kernel` has.
"""

import torch
from torch import Tensor, nn

from rlepose_ext.errors import UserError

REDUCTION = 16
SMALLEST_HIDDEN = 32
DILATIONS = (1, 2)


def select_per_channel(branches: list[Tensor], logits: list[Tensor]) -> Tensor:
    """Mix branches with weights that sum to one per channel (eq. 5 and 6).

    Args:
        branches: U_i, each of shape (N, C, H, W).
        logits: A_i z, each of shape (N, C).

    Returns:
        V, shape (N, C, H, W).
    """
    weights = torch.stack(logits).softmax(dim=0)[..., None, None]
    return sum(weight * branch for weight, branch in zip(weights, branches, strict=True))


class SelectiveKernel(nn.Module):
    """The SK unit.

    With g groups it has 18 C^2 / g + 3 C d + 6 C + 2 d parameters, where d = max(C / 16, 32).

    Args:
        channels: width C of input and output.
        groups: of the two convolutions; the paper has 32.

    Raises:
        UserError: ``channels`` is not a positive multiple of ``groups``.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        numbers = isinstance(channels, int) and isinstance(groups, int)
        if not numbers or channels < 1 or groups < 1 or channels % groups:
            raise UserError(
                'SelectiveKernel: channels must be a positive multiple of groups, got '
                f'channels={channels!r}, groups={groups!r}'
            )
        hidden = max(channels // REDUCTION, SMALLEST_HIDDEN)
        self.branches = nn.ModuleList(_branch(channels, d, groups) for d in DILATIONS)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)
        self.select = nn.ModuleList(nn.Linear(hidden, channels) for _ in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to the same.

        Raises:
            UserError: one image only while training; eq. 3 normalises over the batch. One
                image for each process is enough for synchronised batch norm.
        """
        alone = not isinstance(self.norm, nn.SyncBatchNorm)
        if alone and self.norm.training and x.shape[0] == 1:
            raise UserError(
                'SelectiveKernel normalises over the batch and cannot train on a single image: '
                'use a batch size of at least 2, and drop_last=True if the last batch has 1'
            )
        branches = [branch(x) for branch in self.branches]
        summary = sum(branches).mean(dim=(2, 3))
        hidden = self.norm(self.squeeze(summary)).relu()
        return select_per_channel(branches, [layer(hidden) for layer in self.select])


def _branch(channels: int, dilation: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False
        ),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
