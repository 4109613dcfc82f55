"""A training that depends on every random generator, for tests of stopping and resuming."""

import errno
import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS, RUNNERS, TRANSFORMS
from mmengine.runner import FlexibleRunner, Runner
from torch import nn

SAMPLES = 22
BATCH = 4
BATCHES = 6
EPOCHS = 4
VIEW = 99  # a file descriptor: under its name each process has a folder of its own


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@TRANSFORMS.register_module(force=True)
class DrawNoise:
    """One number from each of the three generators, times ``scale``."""

    def __init__(self, shift=0.0, scale=1.0):
        self.shift = shift
        self.scale = scale

    def __call__(self, results):
        draws = [random.random(), np.random.rand(), float(torch.rand(()))]  # noqa: NPY002
        noise = [draw * self.scale for draw in draws]
        inputs = torch.tensor([results['number'] / SAMPLES, *noise]) + self.shift
        return {'inputs': inputs, 'number': torch.tensor(results['number'])}


@DATASETS.register_module(force=True)
class Numbers(BaseDataset):
    def __init__(self, **kwargs):
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self):
        return [{'number': number} for number in range(SAMPLES)]


@METRICS.register_module(force=True)
class MeanOutput(BaseMetric):
    """Depends on the weights, and draws."""

    def process(self, data_batch, data_samples):
        self.results += [float(value) for value in data_samples]

    def compute_metrics(self, results):
        torch.rand(3)
        return {'mean': sum(results) / len(results)}


@MODELS.register_module(force=True)
class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1)
        )
        self.seen = []

    def forward(self, inputs, number, mode='tensor'):
        output = self.layers(inputs)
        if mode == 'predict':
            return list(output.flatten())
        self.seen.append(number.tolist())
        return {'loss': (output - inputs.sum(1, keepdim=True)).square().mean()}


def kill():
    raise Killed


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class At(Hook):
    """Calls a function at one moment: a method of a hook, and the number of finished iterations."""

    priority = 'VERY_HIGH'

    def __init__(self, moment, iteration, function):
        self.iteration = iteration
        setattr(self, moment, self._call)
        self.function = function

    def _call(self, runner, **kwargs):
        if runner.iter == self.iteration:
            self.function()


def runner(
    folder, *, hooks=(), workers=0, seed=3, resume=False, epochs=EPOCHS, kind='Runner',
    average=True, **changes,
):  # fmt: skip
    """A runner of one of mmengine's two kinds; ``changes`` replace arguments of it."""
    loader = {
        'batch_size': BATCH,
        'num_workers': workers,
        'persistent_workers': workers > 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'dataset': {'type': 'Numbers', 'pipeline': [{'type': 'DrawNoise'}]},
        'collate_fn': {'type': 'default_collate'},
    }
    arguments = {
        'model': {'type': 'Net'},
        'train_dataloader': loader,
        'val_dataloader': {
            **loader,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False, 'round_up': False},
            # 17 samples: of two processes the first one has a batch more
            'dataset': {
                'type': 'Numbers',
                'pipeline': [{'type': 'DrawNoise', 'scale': 0.0}],
                'indices': 17,
            },
        },
        'val_evaluator': {'type': 'MeanOutput'},
        'train_cfg': {'by_epoch': True, 'max_epochs': epochs, 'val_interval': 1},
        'val_cfg': {},
        'optim_wrapper': {
            'optimizer': {'type': 'AdamW', 'lr': 0.02},
            'clip_grad': {'max_norm': 1.0},
        },
        'param_scheduler': [
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 8},
            dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True),
        ],
        'default_hooks': {
            'checkpoint': dict(
                type='CheckpointHook',
                interval=1,
                save_best='mean',
                rule='greater',
                max_keep_ckpts=2,
            ),
            'logger': {'type': 'LoggerHook', 'interval': 1},
        },
        'custom_hooks': [
            *([{'type': 'EMAHook', 'momentum': 0.1}] if average else []),
            {'type': 'SyncBuffersHook'},
            {
                'type': 'rlepose_ext.PipelineSwitchHook',
                'switch_epoch': 2,
                'switch_pipeline': [{'type': 'DrawNoise', 'shift': 0.5}],
            },
            *hooks,
        ],
        'randomness': {'seed': seed},
        'resume': resume,
        'default_scope': 'mmpose',
        **changes,
    }
    torch.set_num_threads(1)
    # the name of a Runner must be its own within a process
    runner.count += 1
    return RUNNERS.get(kind)(
        work_dir=str(folder), experiment_name=f'{folder.name}_{runner.count}', **arguments
    )


runner.count = 0
# asks gcc and git for their versions, for seconds
Runner._log_env = lambda self, env_cfg: None
FlexibleRunner._log_env = lambda self: None


def train(
    folder, view=None, stop_at=None, stop_rank=0, send=signal.SIGTERM, full_from=None, **arguments
):
    """A training in a process of its own, which may send itself a signal.

    With ``view`` that is its work directory, under a name that all processes have in common.
    From iteration ``full_from`` on nothing can be saved, until the training is done.
    """
    if view is not None:
        os.dup2(os.open(view, os.O_RDONLY), VIEW)
        folder = f'/proc/self/fd/{VIEW}'
    run = runner(Path(folder), **arguments)
    if stop_at is not None and run.rank == stop_rank:
        run.register_hook(At(*stop_at, lambda: os.kill(os.getpid(), send)))
    if full_from is not None:
        replace = os.replace
        run.register_hook(At('before_train_epoch', full_from, lambda: setattr(os, 'replace', full)))
        run.register_hook(At('after_train', run.max_iters, lambda: setattr(os, 'replace', replace)))
    run.train()
    model = run.model.module if run.distributed else run.model
    (Path(folder) / f'seen_{run.rank}.json').write_text(json.dumps(model.seen))
    buffers = {'model': dict(model.named_buffers())}
    for hook in run.hooks:
        if isinstance(hook, EMAHook):
            buffers['average'] = dict(hook.ema_model.module.named_buffers())
    torch.save(buffers, Path(folder) / f'buffers_{run.rank}.pt')


def full(source, target):
    """Stands for ``os.replace`` on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stop(folder, moment, iteration, how=terminate, **arguments):
    """The runner of a training that was stopped, and the exception that ended it."""
    run = runner(folder, hooks=[At(moment, iteration, how)], **arguments)
    try:
        run.train()
    except (Killed, SystemExit) as leaving:
        return run, leaving
    raise AssertionError('the training was not stopped')


def finish(folder, **arguments):
    """The runner of a training that was resumed and ran to its end."""
    run = runner(folder, resume=True, **arguments)
    run.train()
    return run


def end_workers(run):
    """Before the garbage collector does, which waits five seconds for each of them."""
    for loader in (run.train_dataloader, run.val_dataloader):
        if loader._iterator is not None:
            loader._iterator._shutdown_workers()


def final(folder, epochs=EPOCHS):
    """What a finished training left: weights, average, optimizer, schedules, scores."""
    from rlepose_ext.checkpoints.safe_load import load_file

    found = load_file(folder / f'epoch_{epochs}.pth')
    scores = found['message_hub']['runtime_info']['best_score']
    return {
        **{f'model.{name}': value for name, value in found['state_dict'].items()},
        **{f'ema.{name}': value for name, value in found.get('ema_state_dict', {}).items()},
        **{
            f'optimizer.{number}.{name}': value
            for number, state in found['optimizer']['state'].items()
            for name, value in state.items()
        },
        'lr': torch.tensor([group['lr'] for group in found['optimizer']['param_groups']]),
        'steps': torch.tensor([state['last_step'] for state in found['param_schedulers']]),
        'best': torch.tensor(scores),
    }


def differences(left, right):
    """Names of what is not equal bit by bit."""
    assert left.keys() == right.keys()
    return [name for name in left if not torch.equal(left[name], right[name])]
