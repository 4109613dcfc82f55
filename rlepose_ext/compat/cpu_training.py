"""A CPU run of stock MMEngine spends most of its time on page faults and on NCHW.

Without it everything works, much slower: see
:mod:`rlepose_ext.engine.cpu_speed` for the reasons, ``docs/cpu_training.md`` for the
figures. Since: always. Can go when MMEngine's Runner offers a memory format and
torch's CPU allocator caches.
"""

from __future__ import annotations

import functools
import os

from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.compat.cpu_distributed import on_cpu
from rlepose_ext.errors import UserError

SWITCH = 'RLEPOSE_CPU_SPEED'


def wanted() -> tuple[bool, bool]:
    """What the switch ``RLEPOSE_CPU_SPEED`` leaves on: (keep memory, the rest).

    ``1`` (default) all, ``memory`` the first, ``0`` none.

    Raises:
        UserError: any other value.
    """
    value = os.environ.get(SWITCH, '1')
    choices = {'1': (True, True), 'memory': (True, False), '0': (False, False)}
    if value not in choices:
        raise UserError(f'{SWITCH} must be 1, memory or 0, got {value!r}')
    return choices[value]


def _patch_builder(builder: type) -> None:
    build_model = builder.build_model

    @functools.wraps(build_model)
    def build_fast_model(self, model):
        model = build_model(self, model)
        if on_cpu():
            _speed_up(model, *wanted())
        return model

    builder.build_model = build_fast_model


def _speed_up(model, memory: bool, layout: bool) -> None:
    from mmengine.logging import print_log

    from rlepose_ext.engine.cpu_speed import (
        keep_freed_memory,
        send_small_tensors_by_value,
        use_channels_last,
    )

    memory = memory and keep_freed_memory()
    if layout:
        send_small_tensors_by_value()
    layout = layout and use_channels_last(model)
    done = [text for text, on in (('memory is kept', memory), ('NHWC', layout)) if on]
    if done:
        print_log(f'CPU run: {", ".join(done)} ({SWITCH}=0 turns this off)', logger='current')


def _install() -> None:
    when_imported('mmengine.runner.runner', lambda module: _patch_builder(module.Runner))
    # builds the model of a FlexibleRunner
    when_imported('mmengine._strategy.base', lambda module: _patch_builder(module.BaseStrategy))


def _status() -> str:
    memory, layout = wanted()
    return f'on a CPU: memory {"kept" if memory else "returned"}, {"NHWC" if layout else "NCHW"}'


PATCH = Patch(
    name='cpu_training',
    breaks='nothing; a CPU run takes much longer (docs/cpu_training.md)',
    since='always',
    until='MMEngine offers a memory format and torch caches CPU memory',
    install=_install,
    status=_status,
)
