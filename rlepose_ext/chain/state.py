"""How far a chain is: ``chain.json`` in its folder, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlepose_ext.checkpoints.files import write_atomically
from rlepose_ext.errors import UserError

FILE = 'chain.json'
FORMAT = 1
BEGUN, DONE = 'begun', 'done'


class ChainState:
    """The stages that have begun, by name.

    A stage is known by its config's name and not by the chain's, so that chains which
    begin alike can share a folder and the stages that they have in common.

    Args:
        folder: the chain's work directory, which need not exist.

    Raises:
        UserError: the file there is not one of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        self.stages: dict[str, dict[str, Any]] = _read(self.path) if self.path.exists() else {}

    def status(self, name: str) -> str | None:
        """``'begun'``, ``'done'``, or None for a stage that has not begun."""
        return self.stages.get(name, {}).get('status')

    def checkpoint(self, name: str) -> Path:
        """The last checkpoint of a stage that is done."""
        return self.folder / self.stages[name]['checkpoint']

    def begin(self, name: str, settings: dict[str, Any], start: str | None) -> None:
        """Note that a stage begins, or goes on with other settings, and write the file.

        Args:
            name: the stage.
            settings: see :func:`rlepose_ext.chain.settings.settings_of`.
            start: the stage that it starts from and what it takes of it; None for the first.
        """
        self.stages[name] = {'status': BEGUN, 'start': start, 'settings': settings}
        self._write()

    def finish(self, name: str, checkpoint: Path) -> None:
        """Note that a stage is done, with a checkpoint inside of the chain's folder."""
        place = checkpoint.relative_to(self.folder).as_posix()
        self.stages[name].update(status=DONE, checkpoint=place)
        self._write()

    def _write(self) -> None:
        text = json.dumps({'format': FORMAT, 'stages': self.stages}, indent=1)
        write_atomically(text.encode(), self.path)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content['format'] != FORMAT:
            raise ValueError(f'format {content["format"]}, this version reads {FORMAT}')
        stages = content['stages']
        for record in stages.values():
            if record['status'] not in (BEGUN, DONE) or not isinstance(record['settings'], dict):
                raise ValueError('a stage without status and settings')
            if record['status'] == DONE:
                Path(record['checkpoint'])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'{path} does not say how far the chain is ({type(error).__name__}: {error}). Put '
            'back a copy of it, or give another --work-dir to begin anew.'
        ) from error
    return stages
