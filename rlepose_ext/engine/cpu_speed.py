"""Faster training on the CPU.

Three costs that have nothing to do with the arithmetic slow a convolutional network
down on the CPU, and all can be lifted without changing a result:

1. *Page faults.* glibc hands every block above 32 MB, which is every large
   activation, back to the kernel when it is freed, so each iteration faults its
   whole memory in again, page by page. :func:`keep_freed_memory` makes glibc keep
   what it has for the next iteration.
2. *Memory layout.* Depthwise convolutions are slow in NCHW: neighbouring values
   belong to the same channel, so a vector register cannot hold several channels.
   :func:`use_channels_last` stores weights, and thereby activations, as NHWC.
3. *Many small tensors.* A loader worker passes every tensor to the trainer as a shared
   memory file of its own, and a pose sample has half a dozen tensors of a few numbers.
   :func:`send_small_tensors_by_value` puts those into the message itself.

All are applied by :mod:`rlepose_ext.engine.equip` to every run that
trains or tests on the CPU; ``RLEPOSE_CPU_SPEED=0`` turns them off.
``benchmarks/cpu_training.py`` measures them.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import reduce_tensor

from rlepose_ext.errors import UserError

SWITCH = 'RLEPOSE_CPU_SPEED'

# malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1
_HEAP_STEP = 64 * 1024 * 1024

# Above this many bytes sharing is cheaper than copying twice: an input image of 256x192.
LARGEST_SENT_BY_VALUE = 3 * 256 * 192

# Backbones of these packages give equal results in NHWC; the tests hold one of each kind.
# Foreign code may call `view` on a feature map, which NHWC forbids, so it is left alone.
TESTED_PACKAGES = ('mmpose', 'rlepose_ext')
# torch 2.11 crashes in the backward pass of dense 3x3 convolutions on 8 channels in NHWC.
NARROWEST_IN_NHWC = 12


def wanted() -> tuple[bool, bool, tuple[str, ...]]:
    """What ``RLEPOSE_CPU_SPEED`` leaves on: memory kept, NHWC and the like, bfloat16 in what.

    ``1`` (default) all, ``float32`` the first two, ``memory`` the first, ``0`` none. ``bfloat16``
    is all, and also for HRNet, which it costs a point of PCK@0.2 (``benchmarks/bfloat16.py``).

    Raises:
        UserError: any other value.
    """
    value = os.environ.get(SWITCH) or '1'
    choices = {
        '0': (False, False, ()),
        'memory': (True, False, ()),
        'float32': (True, True, ()),
        '1': (True, True, ('ResNet',)),
        'bfloat16': (True, True, ('ResNet', 'HRNet')),
    }
    if value not in choices:
        raise UserError(f'{SWITCH} must be one of {", ".join(choices)}, got {value!r}')
    return choices[value]


def speed_up(model: nn.Module) -> None:
    """Do for a model that runs on the CPU all that the switch leaves on, and log it."""
    from mmengine.logging import print_log

    memory, layout, bfloat16 = wanted()
    memory = memory and keep_freed_memory()
    if layout:
        send_small_tensors_by_value()
    layout = layout and use_channels_last(model)
    bfloat16 = use_bfloat16_backbone(model, bfloat16)
    changes = ('memory is kept', memory), ('NHWC', layout), ('bfloat16 in the backbone', bfloat16)
    done = [text for text, on in changes if on]
    if done:
        last = ', float32 the last' if bfloat16 else ''
        print_log(f'CPU run: {", ".join(done)} ({SWITCH}=0 turns this off{last})', logger='current')


class TrainsInBfloat16:
    """Mixed into the class of a backbone: bfloat16 while it trains, float32 again behind it."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See the backbone's own class."""
        if not self.training:
            return super().forward(*args, **kwargs)
        with torch.autocast('cpu', torch.bfloat16):
            return _float32(super().forward(*args, **kwargs))


def _float32(features: Any) -> Any:
    if isinstance(features, (tuple, list)):
        return type(features)(map(_float32, features))
    return features.float()


def use_bfloat16_backbone(model: nn.Module, kinds: Sequence[str] = ('ResNet',)) -> bool:
    """Let the backbone train in bfloat16 where that was measured to be 1.5 times as fast, in place.

    Neck, head and losses stay in float32. Small networks read and write more than they multiply,
    and gain nothing; ``benchmarks/compiled.py`` measures.

    Args:
        model: a pose estimator or detector.
        kinds: classes of MMPose; ``ResNet`` from 50 layers.

    Returns:
        Whether it does.
    """
    from mmpose.models import backbones

    backbone = getattr(model, 'backbone', None)
    kind = type(backbone)
    known = any(kind is getattr(backbones, name) for name in kinds)
    if not (known and getattr(backbone, 'depth', 50) >= 50 and has_bfloat16()):
        return False
    # a class, as copies of the model take their class along
    backbone.__class__ = _in_bfloat16(kind)
    return True


@functools.cache
def _in_bfloat16(kind: type) -> type:
    return type(f'{kind.__name__}InBfloat16', (TrainsInBfloat16, kind), {'__module__': __name__})


def __getattr__(name: str) -> type:
    """``HRNetInBfloat16`` and ``ResNetInBfloat16``, which pickles of whole models look for here."""
    if name.endswith('InBfloat16'):
        from mmpose.models import backbones

        if kind := getattr(backbones, name.removesuffix('InBfloat16'), None):
            return _in_bfloat16(kind)
    raise AttributeError(f'module {__name__} has no attribute {name}')


def use_bfloat16(wrapper: Any, **settings: Any) -> None:
    """Make an ``AmpOptimWrapper`` of MMEngine's, which refuses CPUs, one of bfloat16 on the CPU.

    Convolutions and matrix products read and write bfloat16, which has the exponents of float32,
    so that no loss has to be scaled. Parameters, sums of gradients and the optimizer stay in
    float32, and so do RLE and the other losses.

    Args:
        wrapper: the object to set up.
        **settings: those of ``OptimWrapper``.
    """
    from mmengine.logging import print_log
    from mmengine.optim import OptimWrapper

    OptimWrapper.__init__(wrapper, **settings)
    wrapper._scale_update_param = None
    wrapper.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)
    wrapper.cast_dtype = torch.bfloat16
    if not has_bfloat16():
        print_log('--amp: this processor has no bfloat16, expect a slower run', 'current')


def has_bfloat16(info: Path = Path('/proc/cpuinfo')) -> bool:
    """Whether the processor multiplies bfloat16 (AVX512-BF16, AMX, or Arm's BF16)."""
    words = info.read_text().split() if info.is_file() else ()
    return not {'avx512_bf16', 'amx_bf16', 'bf16'}.isdisjoint(words)


def keep_freed_memory() -> bool:
    """Let glibc reuse freed blocks instead of returning them to the kernel.

    Affects this process and its later children. The process keeps its peak memory.

    Returns:
        Whether the C library took the settings (``False`` outside of glibc).
    """
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _HEAP_STEP))
    taken = [mallopt(option, value) for option, value in settings]
    return all(result == 1 for result in taken)


def use_channels_last(model: nn.Module) -> bool:
    """Store the backbone's convolution weights as NHWC, in place.

    Values, state-dict keys and shapes stay what they were. A convolution whose
    weight is NHWC gives an NHWC output, so the images need no conversion.

    Args:
        model: a pose estimator or detector with a ``backbone``.

    Returns:
        Whether the backbone is one for which this is known to be right and faster.
    """
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        return False
    package = type(backbone).__module__.partition('.')[0]
    if package not in TESTED_PACKAGES or is_slower_in_nhwc(backbone):
        return False
    if any(map(_is_too_narrow, backbone.modules())):
        return False
    backbone.to(memory_format=torch.channels_last)
    return True


def is_slower_in_nhwc(backbone: nn.Module) -> bool:
    """Whether it shuffles channels, which copies maps twice in NHWC: 0.9 times the speed."""
    # here, as the rest of this module needs torch alone
    from mmpose.models.backbones import ShuffleNetV2

    return isinstance(backbone, ShuffleNetV2)


def _is_too_narrow(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.groups == 1
        and max(module.kernel_size) > 1
        # the image's own channels are fine
        and any(3 < n < NARROWEST_IN_NHWC for n in (module.in_channels, module.out_channels))
    )


def send_small_tensors_by_value() -> None:
    """Pickle small CPU tensors by value between processes, here and in later children.

    Tensors in shared memory already, views of a larger storage and subclasses keep torch's
    way. A tensor that is to become shared by being sent must be put into shared memory
    first (``share_memory_``).
    """
    ForkingPickler.register(Tensor, _reduce)


def _reduce(tensor: Tensor) -> tuple[Any, ...]:
    small = (
        type(tensor) is Tensor
        and tensor.device.type == 'cpu'
        and tensor.layout is torch.strided
        and not tensor.requires_grad
        and not tensor.is_quantized
        and not tensor.is_shared()
        and tensor.is_contiguous()
        and 0 < tensor.nbytes <= LARGEST_SENT_BY_VALUE
        and tensor.untyped_storage().nbytes() == tensor.nbytes
    )
    if not small:
        return reduce_tensor(tensor)
    data = tensor.flatten().view(torch.uint8).numpy().tobytes()
    return _rebuild, (data, tensor.dtype, tuple(tensor.shape))


def _rebuild(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    # A bytearray, because a tensor over bytes would be read-only.
    return torch.frombuffer(bytearray(data), dtype=dtype).view(shape)
