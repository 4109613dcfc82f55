"""Small things that both summaries share."""

from __future__ import annotations

import json
from pathlib import Path


def shorten(path: Path) -> str:
    """The path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def device() -> str:
    """``'cuda'`` where there is a GPU, else ``'cpu'``."""
    import torch

    return 'cuda' if torch.cuda.is_available() else 'cpu'


def write_json(path: Path, content: dict) -> None:
    """Write whole or not at all."""
    draft = path.with_name(path.name + '.part')
    draft.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    draft.replace(path)
