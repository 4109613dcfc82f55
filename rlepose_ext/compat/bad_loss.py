"""A loss that is NaN or explodes ends the run, and names the samples.

Without it a training whose loss is NaN goes on to its last epoch, writes checkpoints of NaN
and deletes the good ones. Which samples were at fault is not in the log. With it every run
has a :class:`rlepose_ext.engine.hooks.BadLossHook`. Can go when mmengine's
``CheckInvalidLossHook`` is on by default, knows samples and spares good checkpoints.
"""

from __future__ import annotations

import os

from rlepose_ext.compat._hooks import register_everywhere
from rlepose_ext.compat._imports import Patch


def _status() -> str:
    return 'active' if os.environ.get('RLEPOSE_BAD_LOSS', '1') != '0' else 'switched off'


PATCH = Patch(
    name='bad_loss',
    breaks='a training goes on for a night after its loss became NaN, and saves the result',
    since='always',
    until='mmengine stops such a run, names the samples and keeps the last good checkpoint',
    install=lambda: register_everywhere('BadLossHook'),
    status=_status,
)
