"""What torchrun starts twice in test_two_ranks.py, and the test once in its own process.

    torchrun --nproc_per_node=2 two_ranks_worker.py FOLDER

Trains and evaluates the configs below through MMEngine's Runner and writes what the hooks
saw to FOLDER/rank<r>of<W>.json.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import rlepose_ext  # noqa: F401  (before anything of mmpose)

# isort: split
import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

CONFIG = Path(__file__).resolve().parents[2] / 'configs/quickstart/_base_/rle_synthetic-96x72.py'
# Samples of one iteration, of all processes together.
BATCH = 8
EPOCHS = 3
CODEC = {'type': 'rlepose_ext.SimCCRLELabel', 'input_size': (72, 96)}
CODEC |= {'sigma': 4.0, 'simcc_split_ratio': 2.0}
STOCK_SUM = {'type': 'KLDiscretLoss', 'use_target_weight': True}
SCALED_SUM = {'type': 'rlepose_ext.PerSampleLoss', 'batch_size': BATCH, 'loss': STOCK_SUM}
# Validation persons and DefaultSampler's round_up: even, odd, and fewer than there are ranks.
EVALUATED = ((6, False), (5, False), (5, True), (1, False))


class QuickRunner(Runner):
    """Does not ask compilers for their versions, a second each time."""

    def _log_env(self, env_cfg):
        pass


class Watch(Hook):
    """Losses of this rank, and digests of what all ranks should share."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.terms, self.flow, self.epochs = [], [], [], []
        self.before_sync = None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = unwrap(runner.model)
        self.losses.append(outputs['loss'].item())
        self.terms.append({name: value.item() for name, value in outputs.items()})
        self.flow.append(digest(p for n, p in model.named_parameters() if 'flow_model' in n))
        self.before_sync = digest(model.buffers())

    def after_train_epoch(self, runner):
        model = unwrap(runner.model)
        after = {'buffers': digest(model.buffers()), 'parameters': digest(model.parameters())}
        self.epochs.append({'buffers_before': self.before_sync, **after})

    def report(self):
        return {name: getattr(self, name) for name in ('losses', 'terms', 'flow', 'epochs')}


def unwrap(model):
    return getattr(model, 'module', model)


def digest(tensors):
    """Equal for tensors that are equal bit by bit."""
    code = hashlib.sha256()
    for tensor in tensors:
        code.update(tensor.detach().contiguous().numpy().tobytes())
    return code.hexdigest()


def base_config(folder, name, **options):
    """The project's RLE config, augmentation off; RLEPOSE_DATA is ``folder``."""
    config = Config.fromfile(CONFIG)
    config.merge_from_dict({'load_from': str(folder / 'start.pth'), **options})
    world = int(os.environ.get('WORLD_SIZE', '1'))
    config.launcher = 'pytorch' if world > 1 else 'none'
    config.work_dir = str(folder / f'{name}_of{world}')
    config.experiment_name = config.visualizer.name = f'{name}_of{world}'
    config.randomness = {'seed': 0}
    config.param_scheduler = None
    config.optim_wrapper.optimizer.lr = 5e-4
    config.log_level = 'WARNING'
    config.train_cfg = {'by_epoch': True, 'max_epochs': EPOCHS}
    config.default_hooks.logger.interval = 1
    config.visualizer.vis_backends.append({'type': 'rlepose_ext.CSVVisBackend'})
    config.default_hooks.checkpoint = None
    random = ('RandomFlip', 'RandomBBoxTransform')
    pipeline = config.train_dataloader.dataset.pipeline
    config.train_dataloader.dataset.pipeline = [s for s in pipeline if s.type not in random]
    config.train_dataloader.dataset.ann_file = 'annotations/half_labelled.json'
    config.train_dataloader.sampler.shuffle = False
    # Rank r takes samples r, r + W, ...: together they are the batch of one process.
    config.train_dataloader.batch_size = BATCH // world
    return config


def train(folder, name, norm_eval, loss=None):
    """Train ``EPOCHS`` epochs; with ``loss`` the SimCC + RLE head with that first term."""
    options = {'model.backbone.norm_eval': norm_eval}
    config = base_config(folder, name, **options)
    for key in [key for key in config if key.startswith(('val_', 'test_'))]:
        config.pop(key)
    if loss is not None:
        config.load_from = None
        head = {'type': 'rlepose_ext.SimCCRLEHead', 'in_channels': 128, 'out_channels': 17}
        head |= {'input_size': CODEC['input_size'], 'in_featuremap_size': (5, 6)}
        head |= {'deconv_out_channels': None, 'rle_weight': 0.1, 'loss': loss, 'decoder': CODEC}
        config.model.head = head
        config.train_dataloader.dataset.pipeline[-2]['encoder'] = CODEC
    watch = Watch()
    runner = QuickRunner.from_cfg(config)
    runner.register_hook(watch)
    runner.train()
    log = (
        next(Path(runner.log_dir).glob('vis_data/scalars.json'), None) if get_rank() == 0 else None
    )
    return {
        **watch.report(),
        'wrapper': type(runner.model).__name__,
        'log': [json.loads(line) for line in log.read_text().splitlines()] if log else None,
    }


def evaluate(folder, persons, round_up):
    """Metrics of the start checkpoint on the first ``persons`` of the validation set."""
    name = f'test{persons}{"_padded" if round_up else ""}'
    config = base_config(folder, name)
    annotations = f'annotations/val{persons}.json'
    config.test_dataloader.dataset.ann_file = annotations
    config.test_dataloader.sampler.round_up = round_up
    config.test_dataloader.batch_size = 4
    config.test_evaluator.ann_file = str(folder / 'synthetic' / annotations)
    return QuickRunner.from_cfg(config).test()


def run_all(folder):
    """Everything, in this process as one of WORLD_SIZE."""
    torch.set_num_threads(1)
    report = {
        'frozen': train(folder, 'frozen', norm_eval=True),
        'live': train(folder, 'live', norm_eval=False),
        'simcc': train(folder, 'simcc', norm_eval=True, loss=SCALED_SUM),
        'stock_sum': train(folder, 'stock_sum', norm_eval=True, loss=STOCK_SUM),
        'metrics': {
            f'{persons}, round_up={round_up}': evaluate(folder, persons, round_up)
            for persons, round_up in EVALUATED
        },
    }
    DefaultScope._instance_dict.clear()
    file = folder / f'rank{get_rank()}of{get_world_size()}.json'
    file.write_text(json.dumps(report))


if __name__ == '__main__':
    os.environ['RLEPOSE_DATA'] = sys.argv[1]
    run_all(Path(sys.argv[1]))
