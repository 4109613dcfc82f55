"""A small real training that others stop, and what it must come to in the end.

The model and the data are those of ``rlepose quickstart``, smaller: a slim ResNet-18 with
the RLE head on a few drawn people, with an average of the weights (EMA), a validation after
each epoch, one worker that lives on, and another pipeline for the last epoch.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import torch
from _nursery import Nursery
from mmengine.hooks import Hook

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
MODULES = [
    'rlepose_ext',
    'mmpose.models',
    'mmpose.datasets',
    'mmpose.evaluation',
    'rlepose_ext.models',
    'rlepose_ext.engine.hooks',
    '_interrupted',
]
TRAIN, VAL, BATCH = 40, 12, 8
BATCHES = TRAIN // BATCH
PROGRESS = 'progress'


class Report(Hook):
    """Keeps a note on disk of where the training is, for whoever wants to stop it."""

    priority = 'VERY_HIGH'

    def __init__(self, full_epochs: tuple[int, ...] = ()) -> None:
        self.full_epochs = full_epochs

    def _note(self, runner: Any, phase: str) -> None:
        text = f'{phase} {runner.iter}'.ljust(24).encode()
        descriptor = os.open(Path(runner.work_dir) / PROGRESS, os.O_WRONLY | os.O_CREAT)
        os.pwrite(descriptor, text, 0)
        os.close(descriptor)

    def before_train_epoch(self, runner: Any) -> None:
        """A disk that takes no more in some epochs.

        A limit on the size of files stands for it, too low for a checkpoint, and /dev/full for
        the log of scalars.
        """
        self._note(runner, 'train')
        full = runner.epoch in self.full_epochs
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000 if full else hard, hard))
        log = Path(runner.log_dir) / 'vis_data/scalars.json'
        if full and not log.is_symlink():
            log.unlink(missing_ok=True)
            log.symlink_to('/dev/full')
        elif not full and log.is_symlink():
            log.unlink()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._note(runner, 'train')

    def before_val(self, runner: Any) -> None:
        self._note(runner, 'validate')

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        self._note(runner, 'save')

    def after_train(self, runner: Any) -> None:
        self._note(runner, 'end')


def draw(folder: str) -> None:
    """Draw the people."""
    from rlepose_ext.datasets.synthetic import write_dataset

    # one person in each image: as many samples as images
    write_dataset(Path(folder) / 'synthetic', TRAIN, VAL, seed=0, config={'persons': (1.0,)})


def train(
    work_dir: str, data: str, epochs: int, workers: int = 1, full_epochs: tuple[int, ...] = ()
) -> None:
    """Train from the last checkpoint in ``work_dir``, or from the start."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    os.environ['RLEPOSE_DATA'] = data
    torch.set_num_threads(1)
    config = Config.fromfile(CONFIG)
    last_pipeline = [step for step in config.train_pipeline if step['type'] != 'RandomFlip']
    config.merge_from_dict(
        {
            'work_dir': work_dir,
            'resume': True,
            'randomness': {'seed': 0, 'deterministic': True},
            'train_cfg': {'max_epochs': epochs, 'val_interval': 1},
            'train_dataloader': {
                'batch_size': BATCH,
                'num_workers': workers,
                'persistent_workers': workers > 0,
            },
            # The AP is 0 for a while; the mean error of a joint is not.
            'val_evaluator': {'_delete_': True, 'type': 'EPE'},
            'default_hooks.checkpoint': {'save_best': 'EPE', 'rule': 'less'},
            'default_hooks.logger': {'interval': 1},
            'custom_hooks': [
                *config.custom_hooks,
                {'type': 'EMAHook', 'momentum': 0.05},
                {
                    'type': 'rlepose_ext.PipelineSwitchHook',
                    'switch_epoch': epochs - 1,
                    'switch_pipeline': last_pipeline,
                },
            ],
        }
    )
    # asks gcc and git for their versions, each time
    Runner._log_env = lambda self, env_cfg: None
    runner = Runner.from_cfg(config)
    runner.register_hook(Report(tuple(full_epochs)))
    runner.train()


def final(work_dir: Path, epochs: int) -> dict[str, torch.Tensor]:
    """All tensors of the last checkpoint of a finished training: weights, average, optimizer."""
    from rlepose_ext.checkpoints.safe_load import load_file

    found = load_file(work_dir / f'epoch_{epochs}.pth')
    return {
        **{f'model.{name}': value for name, value in found['state_dict'].items()},
        **{f'average.{name}': value for name, value in found['ema_state_dict'].items()},
        **{
            f'optimizer.{number}.{name}': value
            for number, state in found['optimizer']['state'].items()
            for name, value in state.items()
        },
    }


def differences(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> list[str]:
    """Names of tensors that are not equal bit by bit, or are on one side only."""
    return sorted(
        name
        for name in left.keys() | right.keys()
        if name not in left or name not in right or not torch.equal(left[name], right[name])
    )


class Life:
    """One process of a training.

    Args:
        nursery: where it is born.
        work_dir: its work directory; made.
        **arguments: of :func:`train`.
    """

    def __init__(self, nursery: Nursery, work_dir: Path, **arguments: Any) -> None:
        work_dir.mkdir(parents=True, exist_ok=True)
        self.progress = work_dir / PROGRESS
        self.progress.unlink(missing_ok=True)
        self._nursery = nursery
        self.pid = nursery.start(
            '_interrupted:train', {'work_dir': str(work_dir), **arguments}, work_dir / 'output.txt'
        )

    def place(self) -> tuple[str, int]:
        """Phase and number of finished iterations; ``start`` before the first one."""
        try:
            phase, iteration = self.progress.read_text().split()
        except (OSError, ValueError):
            return 'start', 0
        return phase, int(iteration)

    def wait_for(self, phase: str, iteration: int, seconds: float = 300.0) -> None:
        """Wait until the training is there, or beyond that iteration."""
        end = time.monotonic() + seconds
        while True:
            now, done = self.place()
            if (now == phase and done >= iteration) or done > iteration or now == 'end':
                return
            if time.monotonic() > end:
                raise TimeoutError(f'{phase} {iteration} not reached, but {now} {done}')
            time.sleep(0.002)

    def send(self, number: int, whole_group: bool = False) -> None:
        """Signal the process, or it and its workers."""
        (os.killpg if whole_group else os.kill)(self.pid, number)

    def end(self) -> int:
        """Exit status, once it has ended; minus the number of the signal that ended it.

        Workers of a killed process notice in seconds; they are ended at once.
        """
        status = self._nursery.wait(self.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return status
