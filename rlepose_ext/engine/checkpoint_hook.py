"""Old checkpoints are deleted last, and a full disk does not end a training."""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from rlepose_ext.checkpoints.files import INTERRUPTED, latest_whole, remove_leftovers
from rlepose_ext.engine import hook_of
from rlepose_ext.engine.exact_resume import ExactResumeHook
from rlepose_ext.errors import UserError
from rlepose_ext.registry import HOOKS

_REGULAR, _BEST = 'regular', 'best'


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, which deletes old files last.

    MMEngine's deletes the oldest checkpoint, and the best one so far, before it writes the
    new one, and an ``OSError`` ends the run. Here deletions wait until the new file has been
    read back, and a failed save is an error in the log. What the last save could not write is
    tried again when the training is done.

    Raises:
        UserError: at the end of a training whose last checkpoint could not be saved.
    """

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        # What failed when it was last tried: its kind, file and reason, arguments.
        self.unsaved: dict[str, tuple[str, tuple]] = {}
        if runner.rank == 0 and os.path.isdir(self.out_dir):
            remove_leftovers(self.out_dir)

    def after_train(self, runner: Runner) -> None:
        self._save_again(runner)
        super().after_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        resume = hook_of(runner, ExactResumeHook)
        if resume is not None:
            resume.collect(runner)
        with self._carefully(runner, _REGULAR):
            super()._save_checkpoint_with_step(runner, step, meta)
        name = self.filename_tmpl.format(step)
        if self.last_ckpt is not None and Path(self.last_ckpt).name == name:
            if resume is not None:
                resume.saved_at = meta['iter']
            if runner.rank == 0:
                (Path(runner.work_dir) / INTERRUPTED).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if hasattr(self, 'file_backend'):  # not in Runner.val() before any training
            with self._carefully(runner, _BEST, metrics):
                super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _carefully(self, runner: Runner, kind: str, *args: Any) -> Iterator[None]:
        """Delete at the end of the block; an ``OSError`` is logged and noted, not raised."""
        if isinstance(self.file_backend, _Later):  # the best one saves the last one too
            yield
            return
        memory = _Memory(self, runner)
        backend = self.file_backend
        self.file_backend = later = _Later(backend)
        try:
            yield
        except OSError as error:
            memory.restore()
            file = error.filename or f'a file in {self.out_dir}'
            problem = f'{file} was NOT saved: {error.strerror or error}.'
            self.unsaved[kind] = (problem, args)
            runner.logger.error(
                f'{problem} The checkpoints before it are kept, and training goes on to its end. '
                'Free space on that disk.'
            )
        else:
            self.unsaved.pop(kind, None)
            later.delete()
        finally:
            self.file_backend = backend

    def _save_again(self, runner: Runner) -> None:
        """Save what the last save before the end of a training could not.

        Saving asks all processes for their state, but only the first one knows of a failure.

        Raises:
            UserError: the last regular checkpoint fails again. The best one, if it is of this
                validation, has the same weights, so that it alone is no reason.
        """
        missing = [self.unsaved]
        broadcast_object_list(missing)
        if _REGULAR in missing[0]:
            # of now: with save_last=False the one that failed may have been of an earlier epoch
            meta = {'epoch': runner.epoch, 'iter': runner.iter}
            step = meta['epoch' if self.by_epoch else 'iter']
            self._save_checkpoint_with_step(runner, step, meta)
        if _BEST in missing[0]:
            self._save_best_checkpoint(runner, *missing[0][_BEST][1])
        if _REGULAR in self.unsaved:
            last = latest_whole(runner.work_dir, warn=lambda text: None)
            raise UserError(
                'the training is done, but expected its last checkpoint on the disk: '
                f'{self.unsaved[_REGULAR][0]} Free space there and start again with --resume: '
                f'it goes on from {last or "the start, as there is no checkpoint"}.'
            )


class _Later:
    """A file backend that notes deletions instead of doing them."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._deletions: list[tuple[Callable, str, int | None]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._deletions.append((self._backend.remove, path, _inode(path)))

    def rmtree(self, path: str) -> None:
        self._deletions.append((self._backend.rmtree, path, _inode(path)))

    def delete(self) -> None:
        """Delete what was noted, except what has been written anew under the same name."""
        for delete, path, inode in self._deletions:
            if _inode(path) == inode:
                delete(path)


def _inode(path: str) -> int | None:
    return os.stat(path).st_ino if os.path.exists(path) else None


class _Memory:
    """State of a CheckpointHook about the files on the disk, to restore after a failed save."""

    ATTRIBUTES = ('last_ckpt', 'best_ckpt_path', 'best_ckpt_path_dict', 'keep_ckpt_ids')
    KEYS = ('last_ckpt', 'best_ckpt', 'best_score', 'keep_ckpt_ids')

    def __init__(self, hook: CheckpointHook, runner: Runner) -> None:
        self._of_hook, self._info = vars(hook), runner.message_hub.runtime_info
        own = {name: self._of_hook[name] for name in self.ATTRIBUTES if name in self._of_hook}
        self._saved = copy.deepcopy((own, self._kept_info()))

    def _kept_info(self) -> dict[str, Any]:
        return {key: value for key, value in self._info.items() if key.startswith(self.KEYS)}

    def restore(self) -> None:
        own, info = self._saved
        self._of_hook.update(own)
        for key in self._kept_info():
            del self._info[key]
        self._info.update(info)


def chosen_by_first(find: Callable[[str], str | None], folder: str) -> str | None:
    """The checkpoint that the first process finds in its work directory.

    The processes of a run go on from one file, also where their folders differ. To be called
    by all processes.

    Args:
        find: what finds it; gives None where there is none.
        folder: the work directory.

    Raises:
        UserError: this process does not have that file.
    """
    rank = get_rank()
    found = find(folder) if rank == 0 else None
    chosen = [found and str(found)]
    broadcast_object_list(chosen)
    if rank == 0 or chosen[0] is None:
        return found
    if not os.path.isfile(chosen[0]):
        raise UserError(
            f'process 0 resumes from {chosen[0]}, which process {rank} on '
            f'{socket.gethostname()} cannot see. All processes need the same --work-dir, on a '
            'file system that their machines share.'
        )
    return chosen[0]
