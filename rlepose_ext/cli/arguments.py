"""Types of arguments that several commands have."""

from __future__ import annotations

import argparse


def seed(text: str) -> int:
    """A seed as numpy and torch take it.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 2**32 - 1, got {text}')
    return int(text)
