"""Installs all repairs and features except those that ``RLEPOSE_PATCHES`` switches off."""

from __future__ import annotations

import functools
import os
from types import ModuleType

from rlepose_ext import compat
from rlepose_ext.engine import equip
from rlepose_ext.errors import UserError
from rlepose_ext.imports import when_imported

SWITCH = 'RLEPOSE_PATCHES'


@functools.cache
def install() -> None:
    """Put the repairs of :mod:`rlepose_ext.compat` and the features of the engine in force, once.

    A mistake in ``RLEPOSE_PATCHES`` is an error when MMEngine is imported, so that commands
    report it as they do others.
    """
    try:
        off = switched_off()
    except UserError as error:
        message = str(error)

        def refuse(module: ModuleType) -> None:
            raise UserError(message)

        when_imported('mmengine', refuse)
        return
    compat.install(off)
    equip.install(off)


def switched_off() -> frozenset[str]:
    """The names in ``RLEPOSE_PATCHES=-name[,-name]``, of patches and of features.

    Raises:
        UserError: a name without a minus, or of no patch and no feature.
    """
    words = [word.strip() for word in os.environ.get(SWITCH, '').split(',') if word.strip()]
    names = {patch.name for patch in compat.PATCHES}
    names |= {feature.name for feature in equip.FEATURES}
    for word in words:
        if not word.startswith('-') or word[1:] not in names:
            raise UserError(
                f'{SWITCH} must be names with a minus and commas between them, as in '
                f'-bad_loss,-numpy2; got {word!r}. There are: {", ".join(sorted(names))}'
            )
    return frozenset(word[1:] for word in words)
