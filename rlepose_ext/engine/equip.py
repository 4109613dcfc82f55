"""Give the features of this package to every run.

Of a hook that a config names already, the run keeps the config's. MMEngine's own objects that
one of our classes is derived from (``CheckpointHook``, ``SyncBuffersHook``, ``LogProcessor``)
become of our class. Both runners get it, ``Runner`` and ``FlexibleRunner``: they have no class
in common, and much of the same under the same names.

Importing this module loads nothing heavy: the work is done when MMEngine is imported. A method
of MMEngine's is replaced here, once, and nowhere else but in :mod:`.data_path`.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from rlepose_ext.data_paths import VARIABLE, move_data
from rlepose_ext.engine import data_checks, deferred_imports, hook_of
from rlepose_ext.imports import rebind, when_imported


@dataclass(frozen=True)
class Feature:
    """Something that every run has.

    Attributes:
        name: for ``RLEPOSE_PATCHES``.
        gives: what the user has of it.
        hook: the hook that it is, in :mod:`rlepose_ext.engine.hooks`, if it is one.
        switch: environment variable of its own.
    """

    name: str
    gives: str
    hook: str | None = None
    switch: str | None = None


FEATURES = (
    Feature(
        'cpu_training',
        'CPU runs keep their memory, use NHWC and, if faster, bfloat16',
        switch='RLEPOSE_CPU_SPEED',
    ),
    Feature('cpu_amp', '--amp works on the CPU, in bfloat16'),
    Feature('compile', 'compile_backbone = True (--compile) compiles the backbone'),
    Feature('checkpoint_match', 'a checkpoint of another model is an error, not a warning'),
    Feature('checkpoint_writing', 'checkpoints are whole or not there', 'AtomicCheckpointHook'),
    Feature('averaged_buffers', 'SyncBuffersHook averages those of EMA too', 'SyncAllBuffersHook'),
    Feature('throughput', 'the log has images per second'),
    Feature('bad_loss', 'a NaN or exploding loss ends the run', 'BadLossHook', 'RLEPOSE_BAD_LOSS'),
    Feature('out_of_range_labels', 'the log counts labels out of range', 'OutOfRangeLabelsHook'),
    Feature('joint_count', 'model and data set have the same joints', 'JointCountHook'),
    Feature('interruption', 'SIGTERM, SIGUSR1 save a checkpoint first', 'InterruptHook'),
    Feature('exact_resume', '--resume goes on within the epoch, exactly', 'ExactResumeHook'),
    Feature('log_writing', 'a log that cannot be written is a warning'),
    Feature('data_checks', 'mistakes in annotations, metainfo and images are named'),
    Feature('data_path', 'samples cost less time, and decoded pictures are kept where you say'),
    Feature('deferred_imports', 'what a run does not use, such as FSDP, is not imported'),
    Feature('config_text', 'the text of a config is formatted once, not for every checkpoint'),
    Feature('data_root', "data/... of MMPose's configs is below RLEPOSE_DATA", switch=VARIABLE),
)


def install(off: Collection[str] = ()) -> None:
    """Equip the runs of this process, but for the features named in ``off``."""
    on = {feature.name for feature in FEATURES} - set(off)
    if 'deferred_imports' in on:
        deferred_imports.install()
    if 'config_text' in on:
        when_imported('yapf.yapflib.yapf_api', _equip_formatting)
    if 'checkpoint_writing' in on:
        when_imported('mmengine.runner.checkpoint', _equip_files)
    for module, name in (
        ('mmengine.runner.runner', 'Runner'),
        ('mmengine.runner._flexible_runner', 'FlexibleRunner'),
    ):
        when_imported(module, functools.partial(_equip_runner, name=name, on=on))
    if 'data_checks' in on:
        data_checks.install()
    if 'data_path' in on:
        when_imported('mmengine.structures.base_data_element', _equip_data)
    if on & {'cpu_training', 'compile'}:
        when_imported('mmengine.runner.runner', lambda module: _equip_model(module.Runner, on))
        # builds the model of a FlexibleRunner
        when_imported(
            'mmengine._strategy.base', lambda module: _equip_model(module.BaseStrategy, on)
        )
    if 'cpu_amp' in on:
        when_imported('mmengine.optim.optimizer.amp_optimizer_wrapper', _equip_amp)
        when_imported('mmpose.utils.tensor_utils', _equip_arrays)
    if 'exact_resume' in on:
        when_imported('mmengine.runner.loops', _equip_loops)
    if 'checkpoint_match' in on:
        when_imported('mmengine.runner.runner', _equip_loading)
        when_imported('mmengine.runner._flexible_runner', _equip_flexible_loading)
        for module in ('mmpose.apis.inference', 'mmdet.apis.inference'):
            when_imported(module, _equip_init_model)
        when_imported('mmpose.apis.inferencers.base_mmpose_inferencer', _equip_inferencer)
    if 'log_writing' in on:
        when_imported('mmengine.visualization.vis_backend', _equip_backends)
        when_imported('mmengine.logging.logger', _equip_logger)


def _around(owner: Any, name: str) -> Callable:
    """A decorator: the function takes what ``owner.name`` was, then its arguments."""

    def put(ours: Callable) -> Callable:
        upstream = getattr(owner, name)

        @functools.wraps(upstream)
        def method(*args, **kwargs):
            return ours(upstream, *args, **kwargs)

        setattr(owner, name, method)
        return method

    return put


def _hook(runner: Any, name: str) -> Any:
    # not above: it imports mmengine
    from rlepose_ext.engine import hooks

    return hook_of(runner, getattr(hooks, name))


def _upgrade(thing: Any, kind: type) -> None:
    """Let an object be of ``kind`` if it is of the class that ``kind`` is derived from."""
    own, base = type(thing), kind.__base__
    if isinstance(thing, base) and not isinstance(thing, kind):
        thing.__class__ = kind if own is base else type(own.__name__, (kind, own), {})


def _equip_runner(module: ModuleType, name: str, on: Collection[str]) -> None:
    runner = getattr(module, name)

    @_around(runner, 'register_hooks')
    def register_hooks(upstream, self, *args, **kwargs):
        from mmengine.hooks import Hook

        from rlepose_ext.engine import hooks
        from rlepose_ext.engine.throughput import RateLogProcessor

        upstream(self, *args, **kwargs)
        if 'throughput' in on:
            _upgrade(self.log_processor, RateLogProcessor)
        for feature in FEATURES:
            if feature.hook is None or feature.name not in on:
                continue
            kind = getattr(hooks, feature.hook)
            if kind.__base__ is Hook:
                if hook_of(self, kind) is None:
                    self.register_hook(kind())
            else:
                for hook in self.hooks:
                    _upgrade(hook, kind)

    if 'data_root' in on:
        from_cfg = runner.from_cfg.__func__

        @functools.wraps(from_cfg)
        def from_moved_cfg(cls, cfg):
            root = os.environ.get(VARIABLE)
            return from_cfg(cls, move_data(cfg, root) if root else cfg)

        runner.from_cfg = classmethod(from_moved_cfg)

    if 'interruption' in on:

        @_around(runner, 'train')
        def train(upstream, self):
            try:
                return upstream(self)
            finally:
                hook = _hook(self, 'InterruptHook')
                if hook is not None:
                    hook.stop.uninstall()

    if 'exact_resume' not in on:
        return

    @_around(runner, 'resume')
    def resume(upstream, self, filename, *args, **kwargs):
        hook = _hook(self, 'ExactResumeHook')
        load = functools.partial(upstream, self, filename, *args, **kwargs)
        return load() if hook is None else hook.resume(self, filename, load)

    @_around(module, 'find_latest_checkpoint')
    def find_latest_checkpoint(upstream, path):
        from rlepose_ext.engine.checkpoint_hook import chosen_by_first

        return chosen_by_first(upstream, path)

    if name == 'FlexibleRunner':

        @_around(runner, 'save_checkpoint')
        def save_checkpoint(upstream, self, *args, **kwargs):
            from rlepose_ext.engine.exact_resume import Place

            # under the epoch and iteration that it is given, as Runner does
            place = Place(kwargs.get('meta') or {})
            self.hooks.insert(0, place)
            try:
                upstream(self, *args, **kwargs)
            finally:
                self.hooks.remove(place)


def _equip_loops(module: ModuleType) -> None:
    @_around(module.EpochBasedTrainLoop, 'run_epoch')
    def run_epoch(upstream, self):
        hook = _hook(self.runner, 'ExactResumeHook')
        return upstream(self) if hook is None else hook.run_epoch(self)

    run_epoch.goes_on_within = True
    iterator = module._InfiniteDataloaderIterator

    @_around(iterator, '__init__')
    def begin_late(upstream, self, dataloader):
        """Begin when it is first asked: after a resume, which sets the seeds."""
        self._dataloader, self._iterator, self._epoch = dataloader, None, 0

    @_around(iterator, '__next__')
    def next_batch(upstream, self):
        from rlepose_ext.engine.resumable import kept_cpu_state

        # Beginning anew draws a seed for workers; a resume does it more often.
        with kept_cpu_state():
            if self._iterator is None:
                self._iterator = iter(self._dataloader)
            return upstream(self)


def _equip_model(builder: type, on: Collection[str]) -> None:
    @_around(builder, 'build_model')
    def build_model(upstream, self, model):
        from rlepose_ext.gpus import on_cpu

        model = upstream(self, model)
        if 'cpu_training' in on and on_cpu():
            from rlepose_ext.engine.cpu_speed import speed_up

            speed_up(model)
        # a strategy has no config
        if 'compile' in on and getattr(self, 'cfg', {}).get('compile_backbone'):
            from rlepose_ext.engine.compiled import compile_backbone

            compile_backbone(model)
        return model


def _equip_amp(module: ModuleType) -> None:
    @_around(module.AmpOptimWrapper, '__init__')
    def init(upstream, self, loss_scale='dynamic', dtype=None, use_fsdp=False, **kwargs):
        from rlepose_ext.gpus import on_cpu

        if on_cpu():
            from rlepose_ext.engine.cpu_speed import use_bfloat16

            use_bfloat16(self, **kwargs)
        else:
            upstream(self, loss_scale, dtype, use_fsdp, **kwargs)

    @_around(module.AmpOptimWrapper, 'load_state_dict')
    def load_state_dict(upstream, self, state_dict):
        # A run on the CPU scaled no loss, which a scaler refuses to go on from.
        if not state_dict.get('loss_scaler', True):
            state_dict = {k: v for k, v in state_dict.items() if k != 'loss_scaler'}
        upstream(self, state_dict)


def _equip_arrays(module: ModuleType) -> None:
    # Heads measure their accuracy in NumPy, which has no bfloat16.
    import torch

    original = module.to_numpy

    @_around(module, 'to_numpy')
    def to_numpy(upstream, x, *args, **kwargs):
        if getattr(x, 'dtype', None) is torch.bfloat16:
            x = x.float()
        return upstream(x, *args, **kwargs)

    rebind(original, to_numpy, 'mmpose')


def _equip_data(module: ModuleType) -> None:
    # needs NumPy, which MMEngine has loaded by now
    from rlepose_ext.engine import data_path

    data_path.install()


def _equip_formatting(module: ModuleType) -> None:
    # A run asks for the text at each checkpoint, and yapf takes up to seconds.
    original = module.FormatCode
    formatted: dict[str, Any] = {}

    @_around(module, 'FormatCode')
    def format_code(upstream, *args, **options):
        asked = repr((args, options))
        if asked not in formatted:
            found = upstream(*args, **options)
            formatted.clear()
            formatted[asked] = found
        return formatted[asked]

    rebind(original, module.FormatCode, 'mmengine')


def _equip_files(module: ModuleType) -> None:
    from rlepose_ext.checkpoints.files import Whole, latest_whole, write_sealed

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

    for ours in (save_checkpoint, find_latest_checkpoint):
        original = getattr(module, ours.__name__)
        setattr(module, ours.__name__, ours)
        rebind(original, ours, 'mmengine')


def _equip_loading(module: ModuleType) -> None:
    @_around(module.Runner, 'load_checkpoint')
    def load_checkpoint(upstream, self, filename, *args, **kwargs):
        from rlepose_ext.engine import checkpoint_match as match

        before = match.snapshot(self.model)
        checkpoint = upstream(self, filename, *args, **kwargs)
        # strict=False asks for part of it; to leave it at that default does not
        if (args[1] if len(args) > 1 else kwargs.get('strict')) is not False:
            found = match.compare(self.model, before, checkpoint)
            match.require_for(self, found, checkpoint, filename)
        return checkpoint


def _equip_flexible_loading(module: ModuleType) -> None:
    """Let the strategy of a FlexibleRunner check what it loads, before it goes on with it."""
    runner = module.FlexibleRunner

    @_around(runner, 'build_strategy')
    def build_strategy(upstream, self, *args, **kwargs):
        from mmengine._strategy import SingleDeviceStrategy

        strategy = upstream(self, *args, **kwargs)
        # Others deal out the parameters, so that they have other names and shapes than in a file.
        load = module.BaseStrategy.load_model_state_dict
        if (
            isinstance(strategy, SingleDeviceStrategy)
            and type(strategy).load_model_state_dict is load
        ):
            _equip_strategy(strategy, self)
        return strategy

    @_around(runner, 'load_checkpoint')
    def load_checkpoint(upstream, self, filename, *args, **kwargs):
        if len(args) < 2:
            # not the default False, which the strategy could not tell from one that was asked for
            kwargs.setdefault('strict', None)
        return upstream(self, filename, *args, **kwargs)


def _equip_strategy(strategy: Any, runner: Any) -> None:
    @_around(strategy, 'load_checkpoint')
    def load_checkpoint(upstream, filename, *, callback=None, **kwargs):
        from rlepose_ext.engine import checkpoint_match as match

        found = {}

        def keep(checkpoint):
            if callback is not None:
                callback(checkpoint)
            found.update(checkpoint)

        before = match.snapshot(strategy.model)
        checkpoint = upstream(filename, callback=keep, **kwargs)
        if kwargs.get('strict') is not False:
            loaded = match.compare(strategy.model, before, found)
            match.require_for(runner, loaded, found, filename)
        return checkpoint


def _equip_init_model(module: ModuleType) -> None:
    @_around(module, 'load_checkpoint')
    def load_checkpoint(upstream, model, filename, *args, **kwargs):
        from rlepose_ext.engine import checkpoint_match as match

        before = match.snapshot(model)
        checkpoint = upstream(model, filename, *args, **kwargs)
        match.require_exact(match.compare(model, before, checkpoint), filename)
        return checkpoint


def _equip_inferencer(module: ModuleType) -> None:
    inferencer = module.BaseMMPoseInferencer

    @_around(inferencer, '_init_model')
    def init_model(upstream, self, cfg, weights, *args, **kwargs):
        self._weights_file = weights  # the method below gets the contents only
        return upstream(self, cfg, weights, *args, **kwargs)

    @_around(inferencer, '_load_weights_to_model')
    def load_weights(upstream, self, model, checkpoint, cfg):
        from rlepose_ext.engine import checkpoint_match as match

        before = match.snapshot(model)
        upstream(self, model, checkpoint, cfg)
        if checkpoint is not None:
            match.require_exact(match.compare(model, before, checkpoint), self._weights_file)


def _equip_backends(module: ModuleType) -> None:
    from rlepose_ext.engine.log_writing import protect_backends

    protect_backends(module.BaseVisBackend)


def _equip_logger(module: ModuleType) -> None:
    from rlepose_ext.engine.log_writing import protect_files

    @_around(module.MMLogger, '__init__')
    def init(upstream, self, *args, **kwargs):
        upstream(self, *args, **kwargs)
        protect_files(self)
