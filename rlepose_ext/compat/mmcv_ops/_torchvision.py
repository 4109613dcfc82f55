from __future__ import annotations

from typing import Any

import torch


def torchvision_ops() -> Any:
    """``torch.ops.torchvision``; importing what registers it takes a second, so not above."""
    import torchvision  # noqa: F401

    return torch.ops.torchvision
