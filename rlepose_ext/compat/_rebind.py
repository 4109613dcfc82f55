"""Replace a function that other modules have imported by name."""

from __future__ import annotations

import sys
from collections.abc import Callable


def rebind(original: Callable, replacement: Callable, package: str) -> None:
    """Let every loaded module of ``package`` that holds ``original`` hold ``replacement``.

    Needed where upstream was imported before this package: ``from x import f`` has then
    copied the reference, and replacing it in ``x`` alone changes nothing.
    """
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f'{package}.'):
            for key, value in list(vars(module).items() if module is not None else ()):
                if value is original:
                    setattr(module, key, replacement)
