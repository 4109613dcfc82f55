"""In which precision a stand-in op computes."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

__all__ = ['compute_dtype']


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """The common type of ``tensors``, at least float32; float64 for integers.

    float16 and bfloat16 are widened on every device: torchvision's CPU kernels lack
    them, and its CUDA kernels would accumulate in them.
    """
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    if dtype in (torch.float16, torch.bfloat16):
        return torch.float32
    return dtype if dtype.is_floating_point else torch.float64
