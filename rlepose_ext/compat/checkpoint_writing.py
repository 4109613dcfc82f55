"""A checkpoint is never half a file, and the last good one is never given up early.

Without it mmengine writes a checkpoint under its final name, so that a kill or a full
disk leaves a torn file there; names that file in ``last_checkpoint``; deletes the oldest
checkpoint, and the best one so far, *before* it writes the new one; ends the whole run if
the disk is full; and resumes from whatever ``last_checkpoint`` names, torn or not.

With it a file appears whole or not at all (:mod:`rlepose_ext.engine.checkpoint_files`),
deletions wait until the new file has been read back, a failed save is an error in the log
and the training goes on, and ``--resume`` takes the newest checkpoint whose checksums are
right. What the last save could not write is tried again when the training is done; if that
fails too, the run ends with an error. Can go when mmengine does the same.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.compat._rebind import rebind
from rlepose_ext.engine.checkpoint_files import (
    Whole,
    latest_whole,
    remove_leftovers,
    write_sealed,
)
from rlepose_ext.errors import UserError

# Methods of CheckpointHook
_REGULAR, _BEST = '_save_checkpoint_with_step', '_save_best_checkpoint'


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


def _patch_checkpoint(module: ModuleType) -> None:
    upstream = module.save_checkpoint

    @functools.wraps(upstream)
    def save_checkpoint(checkpoint, filename, file_client_args=None, backend_args=None):
        if '://' in str(filename) or file_client_args is not None or backend_args is not None:
            return upstream(checkpoint, filename, file_client_args, backend_args)
        import torch

        write_sealed(functools.partial(torch.save, checkpoint), filename)

    def find_latest_checkpoint(path):
        from mmengine.logging import print_log

        found = latest_whole(path, lambda text: print_log(text, 'current', logging.WARNING))
        if found is None:
            print_log(f'no checkpoint to go on from in {path}; starting afresh', 'current')
        return found and Whole(found)

    for name, ours in (
        ('save_checkpoint', save_checkpoint),
        ('find_latest_checkpoint', find_latest_checkpoint),
    ):
        original = getattr(module, name)
        setattr(module, name, ours)
        rebind(original, ours, 'mmengine')


def _patch_hook(module: ModuleType) -> None:
    hook = module.CheckpointHook
    for name in (_REGULAR, _BEST):
        setattr(hook, name, _careful(getattr(hook, name)))
    before_train, after_train = hook.before_train, hook.after_train

    @functools.wraps(before_train)
    def clean_then_begin(self, runner):
        before_train(self, runner)
        # What failed when it was last tried: name of the method, file and reason, arguments.
        self.unsaved = {}
        if runner.rank == 0 and os.path.isdir(self.out_dir):
            remove_leftovers(self.out_dir)

    @functools.wraps(after_train)
    def save_then_end(self, runner):
        _save_again(self, runner)
        after_train(self, runner)

    hook.before_train = clean_then_begin
    hook.after_train = save_then_end


def _careful(upstream: Callable) -> Callable:
    """Let a saving method delete at its end, and survive a disk that takes no more."""
    name = upstream.__name__

    @functools.wraps(upstream)
    def save(self, runner, *args, **kwargs):
        if name == _BEST and not hasattr(self, 'file_backend'):
            return  # Runner.val() before any training: there is no folder to save in yet
        if isinstance(self.file_backend, _Later):  # the best one saves the last one too
            return upstream(self, runner, *args, **kwargs)
        memory = _Memory(self, runner)
        backend = self.file_backend
        self.file_backend = later = _Later(backend)
        try:
            upstream(self, runner, *args, **kwargs)
        except OSError as error:
            memory.restore()
            file = error.filename or f'a file in {self.out_dir}'
            problem = f'{file} was NOT saved: {error.strerror or error}.'
            self.unsaved[name] = (problem, args)
            runner.logger.error(
                f'{problem} The checkpoints before it are kept, and training goes on to its end. '
                'Free space on that disk.'
            )
        else:
            self.unsaved.pop(name, None)
            later.delete()
        finally:
            self.file_backend = backend

    return save


def _save_again(hook: Any, runner: Any) -> None:
    """Save what the last save before the end of a training could not.

    Saving asks all processes for their state, but only the first one knows of a failure.

    Raises:
        UserError: the last regular checkpoint fails again. The best one, if it is of this
            validation, has the same weights, so that it alone is no reason.
    """
    from mmengine.dist import broadcast_object_list

    missing = [hook.unsaved]
    broadcast_object_list(missing)
    if _REGULAR in missing[0]:
        # of now: with save_last=False the one that failed may have been of an earlier epoch
        meta = {'epoch': runner.epoch, 'iter': runner.iter}
        hook._save_checkpoint_with_step(runner, meta['epoch' if hook.by_epoch else 'iter'], meta)
    if _BEST in missing[0]:
        hook._save_best_checkpoint(runner, *missing[0][_BEST][1])
    if _REGULAR in hook.unsaved:
        last = latest_whole(runner.work_dir, warn=lambda text: None)
        raise UserError(
            'the training is done, but expected its last checkpoint on the disk: '
            f'{hook.unsaved[_REGULAR][0]} Free space there and start again with --resume: '
            f'it goes on from {last or "the start, as there is no checkpoint"}.'
        )


class _Memory:
    """What a CheckpointHook believes to be on the disk."""

    ATTRIBUTES = ('last_ckpt', 'best_ckpt_path')
    KEYS = ('last_ckpt', 'best_ckpt', 'best_score', 'keep_ckpt_ids')

    def __init__(self, hook: Any, runner: Any) -> None:
        self._hook, self._hub = hook, runner.message_hub
        self._attributes = {n: getattr(hook, n) for n in self.ATTRIBUTES if hasattr(hook, n)}
        self._kept = list(getattr(hook, 'keep_ckpt_ids', ()))
        self._best = dict(getattr(hook, 'best_ckpt_path_dict', {}))
        info = self._hub.runtime_info
        self._info = {key: info[key] for key in info if key.startswith(self.KEYS)}

    def restore(self) -> None:
        for name, value in self._attributes.items():
            setattr(self._hook, name, value)
        if hasattr(self._hook, 'keep_ckpt_ids'):
            self._hook.keep_ckpt_ids.clear()
            self._hook.keep_ckpt_ids.extend(self._kept)
        if self._best:
            self._hook.best_ckpt_path_dict = self._best
        info = self._hub.runtime_info
        for key in [key for key in info if key.startswith(self.KEYS)]:
            del info[key]
        info.update(self._info)


def _install() -> None:
    when_imported('mmengine.runner.checkpoint', _patch_checkpoint)
    when_imported('mmengine.hooks.checkpoint_hook', _patch_hook)


PATCH = Patch(
    name='checkpoint_writing',
    breaks='a kill or a full disk while saving leaves a torn checkpoint, and none to go on from',
    since='always',
    until='mmengine writes checkpoints under a temporary name and deletes old ones last',
    install=_install,
)
