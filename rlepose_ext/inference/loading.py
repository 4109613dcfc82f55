"""From a name, a config and a checkpoint to a model that is ready to run."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmpose.apis import init_model
from mmpose.models.pose_estimators import TopdownPoseEstimator

from rlepose_ext.errors import UserError
from rlepose_ext.models.losses import RLELoss
from rlepose_ext.models.losses.rle_spread import learned_spread

# Transforms of a test pipeline that read what is in memory already, or pack what we batch.
LOADING, PACKING = 'LoadImage', 'PackPoseInputs'


def choose_device(device: str) -> torch.device:
    """``'auto'``: the first GPU if there is one, else the CPU; anything else as torch has it.

    Raises:
        UserError: unknown, or a GPU where there is none.
    """
    if device == 'auto':
        return torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f'device {device!r}: {error}') from error
    if chosen.type == 'cuda' and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f'device {device!r}: this machine has {torch.cuda.device_count()} CUDA devices. '
            "Take 'cpu' or 'auto'."
        )
    return chosen


def config_and_checkpoint(
    model: str | Path | Config, checkpoint: str | Path | None
) -> tuple[Config, str | None]:
    """Find both, by path or by a name of the zoo.

    Raises:
        UserError: an unknown name, or a file that does not exist.
    """
    if isinstance(model, Config):
        return Config(model._cfg_dict.to_dict()), None if checkpoint is None else str(checkpoint)
    if not str(model).endswith('.py'):
        from rlepose_ext.zoo import find
        from rlepose_ext.zoo.weights import fetch

        entry = find(str(model))
        model = entry.path
        checkpoint = checkpoint or fetch(entry)
    if not Path(model).is_file():
        raise UserError(f'config {model} does not exist')
    if checkpoint is not None and '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        raise UserError(f'checkpoint {checkpoint} does not exist')
    return Config.fromfile(str(model)), None if checkpoint is None else str(checkpoint)


def build_model(
    config: Config, checkpoint: str | None, device: torch.device
) -> TopdownPoseEstimator:
    """Build a top-down model and load its weights.

    Raises:
        UserError: no model, one that is not top-down, or a checkpoint of another model.
    """
    model = config.get('model')
    if model is None or 'backbone' not in model:
        raise UserError(f'{config.filename}: there is no model with a backbone in this config')
    model.backbone.pop('init_cfg', None)  # the checkpoint has all weights
    model.pop('init_cfg', None)
    # MMEngine prints every key that does not fit before the error that sums them up.
    with contextlib.redirect_stdout(io.StringIO()):
        built = init_model(config, checkpoint, device=str(device))
    if not isinstance(built, TopdownPoseEstimator):
        raise UserError(
            f'{config.filename}: {type(built).__name__} is not top-down. PoseEstimator takes '
            'models that see one person in a box; use mmpose.apis.MMPoseInferencer for others.'
        )
    return built


def crop_pipeline(config: Config) -> Compose:
    """The transforms between loading and packing of the test pipeline."""
    steps = [
        step
        for step in config.test_dataloader.dataset.pipeline
        if step['type'] not in (LOADING, PACKING)
    ]
    return Compose(steps)


def spread_of(model: Any) -> np.ndarray | None:
    """Standard deviation of a joint's error in sigmas, of heads that have learnt it."""
    losses = [part for part in model.head.modules() if isinstance(part, RLELoss)]
    return learned_spread(losses[0]) if losses else None
