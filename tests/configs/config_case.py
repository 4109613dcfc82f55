"""Configs by their family and name, and as plain dicts that can be compared."""

from pathlib import Path

import mmpose
from mmengine.config import Config
from mmengine.registry import init_default_scope

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STOCK = Path(mmpose.__file__).parent / '.mim' / 'configs'


def load(name: str) -> Config:
    """A config of this project, ``family/name``, without the file that its backbone starts from."""
    init_default_scope('mmpose')
    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.model.backbone.pop('init_cfg', None)
    return config


def load_stock(name: str) -> Config:
    """A config of MMPose: its path below ``body_2d_keypoint``."""
    return Config.fromfile(STOCK / 'body_2d_keypoint' / f'{name}.py')


def plain(node):
    """Without the scope that MMEngine notes for what comes from another package; no tuples."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if key != '_scope_'}
    return [plain(value) for value in node] if isinstance(node, (list, tuple)) else node


def changed(mine, theirs) -> set[str]:
    """Keys at which two configs differ, of those that both have."""
    return {key for key in theirs if plain(mine[key]) != plain(theirs[key])}


def steps(config, split: str = 'train') -> dict:
    """Transforms of a loader by their type."""
    return {step.type: step for step in config[f'{split}_dataloader'].dataset.pipeline}
