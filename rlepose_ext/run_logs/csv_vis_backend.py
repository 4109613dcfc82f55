"""Scalars of a run as two CSV files, for spreadsheets and pandas."""

from __future__ import annotations

import re
from numbers import Real
from pathlib import Path

from mmengine.visualization import BaseVisBackend
from mmengine.visualization.vis_backend import force_init_env

from rlepose_ext.registry import VISBACKENDS
from rlepose_ext.run_logs.csv_table import CSVTable

# The folder of one start of a run, as MMEngine names it.
_START = re.compile(r'\d{8}_\d{6}')
SPLITS = ('train', 'val')


def folder_of(save_dir: str | Path) -> Path:
    """The work dir of ``WORK_DIR/20260102_030405/vis_data``; other folders as they are.

    Each start of a run has a folder of its own; a resumed run shall go on in one table.
    """
    path = Path(save_dir)
    if path.name == 'vis_data' and _START.fullmatch(path.parent.name):
        return path.parent.parent
    return path


def split_of(names: object) -> str:
    """Which table the scalars ``names`` belong to.

    MMEngine hands over what LoggerHook logs without saying when; only lines of the
    training have the iteration (``iter``, or the prefix ``train/``).
    """
    return 'train' if any(n == 'iter' or n.startswith('train/') for n in names) else 'val'


@VISBACKENDS.register_module()
class CSVVisBackend(BaseVisBackend):
    """Writes ``train.csv`` (by iteration) and ``val.csv`` (by epoch) into the work dir.

    Beside the other backends of the visualizer::

        visualizer = dict(
            vis_backends=[dict(type='LocalVisBackend'), dict(type='rlepose_ext.CSVVisBackend')]
        )

    A resumed run goes on in the same files and replaces the rows it passes again. A row
    that cannot be written, because the disk is full, is lost with a warning
    (:mod:`rlepose_ext.engine.log_writing`); the run goes on. Images and single scalars are not
    written.

    Args:
        save_dir: folder for the files, given by the visualizer.

    Raises:
        UserError: when the run starts, if a file of that name is not such a table.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir)
        self._tables: dict[str, CSVTable] = {}

    def _init_env(self) -> None:
        folder = folder_of(self._save_dir)
        self._tables = {split: CSVTable(folder / f'{split}.csv') for split in SPLITS}

    @property
    @force_init_env
    def experiment(self) -> CSVVisBackend:
        """This object."""
        return self

    @force_init_env
    def add_config(self, config: object, **kwargs: object) -> None:
        """Write nothing: called when a run starts, it finds foreign files early."""

    @force_init_env
    def add_scalars(
        self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: object
    ) -> None:
        """Write one row.

        Args:
            scalar_dict: what is not a number (nor a tensor of one) is left out.
            step: iteration or epoch.
            file_path: for other backends.
            **kwargs: for other backends.
        """
        values = {name: _number(value) for name, value in scalar_dict.items() if name != 'step'}
        values = {name: value for name, value in values.items() if value is not None}
        if not values:
            return
        self._tables[split_of(scalar_dict)].append(step, values)


def _number(value: object) -> float | None:
    """A plain number of a number, a tensor or an array of one element."""
    if isinstance(value, Real):
        return value
    if getattr(value, 'ndim', None) is not None and hasattr(value, 'item'):
        size = value.numel() if hasattr(value, 'numel') else value.size
        return value.item() if size == 1 else None
    return None
