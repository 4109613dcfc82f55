"""From a name, a config and a checkpoint to a model that is ready to run."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import load_checkpoint
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.datasets.transforms import KeypointConverter, LoadImage, PackPoseInputs
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import DATASETS, MODELS
from torch import nn

from rlepose_ext.engine import checkpoint_match as match
from rlepose_ext.errors import UserError
from rlepose_ext.models.losses import RLELoss
from rlepose_ext.models.losses.rle import learned_covariance
from rlepose_ext.zoo import Entry, find, read_zoo
from rlepose_ext.zoo.counting import load_config
from rlepose_ext.zoo.upstream import upstream_model
from rlepose_ext.zoo.weights import fetch

# In the meta of a checkpoint; its keys are whether the flip test is on.
CALIBRATION = 'rlepose_calibration'
# Transforms of a test pipeline that read what is in memory already, convert annotations,
# which there are none of, or pack what we batch.
NOT_CROPPING = (LoadImage, KeypointConverter, PackPoseInputs)


def choose_device(device: str) -> torch.device:
    """``'auto'``: the first GPU if there is one, else the CPU; anything else as torch has it.

    Raises:
        UserError: unknown, or not there.
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
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, ImportError) as error:  # each kind has its own
        said, *_ = str(error).partition('\n')[0].split('. ')
        raise UserError(
            f"device {device!r} cannot be used: {said}. Take 'cpu' or 'auto'."
        ) from error
    return chosen


@contextlib.contextmanager
def building(what: str) -> Iterator[None]:
    """Build a model, in silence; what goes wrong is a mistake in its files.

    Args:
        what: the files, for the error.

    Raises:
        UserError: anything was raised; its text is in the message.
    """
    try:
        # MMEngine prints every key that does not fit before the error that sums them up.
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except UserError:
        raise
    except Exception as error:  # a config names any class with any arguments
        raise UserError(f'{what}: {type(error).__name__}: {error}') from error


def config_and_checkpoint(
    model: str | Path | Config, checkpoint: str | Path | None
) -> tuple[Config, str]:
    """Find both, by path or by a name of the zoo or of MMPose; the public checkpoint by default.

    Raises:
        UserError: an unknown name, a file that does not exist, a config that cannot be read, or
            no checkpoint is given and none is published.
    """
    upstream = None
    if isinstance(model, Config):
        config = copy.deepcopy(model)
    else:
        if str(model).endswith('.py'):
            path = Path(model)
        else:
            upstream = upstream_model(str(model))
            path = upstream.config if upstream else find(str(model)).path
        if not path.is_file():
            raise UserError(f'config {path} does not exist')
        config = load_config(str(path))
    if checkpoint is None:
        checkpoint = fetch((upstream and upstream.weights) or _entry_of(config))
    if '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        problem = 'is no file' if Path(checkpoint).exists() else 'does not exist'
        raise UserError(f'checkpoint {checkpoint} {problem}')
    return config, str(checkpoint)


def _entry_of(config: Config) -> Entry:
    """What the zoo knows of exactly this file, not of another one by the same name.

    Raises:
        UserError: it is not in the zoo.
    """
    path = Path(config.filename or '').absolute()
    for entry in read_zoo():
        if entry.name == path.stem and path.exists() and entry.path.samefile(path):
            return entry
    raise UserError(
        f'{config.filename or "this config"}: expected a checkpoint beside it, got none. Weights '
        'are downloaded for configs of the zoo only: `rlepose weights` lists them.'
    )


def build_model(config: Config, checkpoint: str, device: torch.device) -> TopdownPoseEstimator:
    """Build a top-down model and load its weights.

    Raises:
        UserError: no model, one that is not top-down, or a checkpoint of another model.
    """
    model = config.get('model')
    if model is None or 'backbone' not in model:
        raise UserError(f'{config.filename}: there is no model with a backbone in this config')
    with building(f'{config.filename} with {checkpoint}'):
        built = init_model(config, checkpoint, device)
    if not isinstance(built, TopdownPoseEstimator):
        raise UserError(
            f'{config.filename}: {type(built).__name__} is not top-down. PoseEstimator takes '
            'models that see one person in a box; rlepose_ext.Pose takes the others.'
        )
    return built


def init_model(config: Config, checkpoint: str, device: torch.device) -> nn.Module:
    """A model in evaluation mode with the weights of a checkpoint, as MMPose's ``init_model``.

    MMPose's own is in ``mmpose.apis``, which loads mmdet and everything that draws.

    Args:
        config: has a model with a backbone; what its weights start from is not loaded.
        checkpoint: file or URL.
        device: of the model.

    Returns:
        The model, with ``cfg``, ``dataset_meta`` (of the checkpoint, else of the config's data
        set), ``test_cfg``, and ``calibration``, what `rlepose calibrate` has left in the file.

    Raises:
        UserError: the checkpoint is of another model.
    """
    model = config.model
    model.backbone.pop('init_cfg', None)  # the checkpoint has all weights
    model.pop('init_cfg', None)
    model.train_cfg = None
    if config.get('default_scope', 'mmpose') is not None:
        init_default_scope(config.get('default_scope', 'mmpose'))
    built = revert_sync_batchnorm(MODELS.build(model))
    before = match.snapshot(built)
    loaded = load_checkpoint(built, checkpoint, map_location='cpu')
    match.require_exact(match.compare(built, before, loaded), checkpoint)
    if unused := match.unused(built, loaded):
        warnings.warn(
            f'checkpoint {checkpoint}: {len(unused)} unexpected key(s), such as {unused[0]}, are '
            'ignored. Is it the config that trained it?',
            stacklevel=2,
        )
    meta = loaded.get('meta', {})
    built.dataset_meta = meta.get('dataset_meta') or _dataset_meta(config)
    built.calibration = meta.get(CALIBRATION, {})
    built.cfg = config
    return built.to(device).eval()


def _dataset_meta(config: Config) -> dict[str, Any]:
    """Of the training set, or of COCO if the config does not say."""
    try:
        dataset = config.train_dataloader.dataset
        kind = dataset.type
        metainfo = (
            dataset.get('metainfo')
            or (kind if isinstance(kind, type) else DATASETS.get(kind)).METAINFO
        )
    except AttributeError:
        metainfo = {'from_file': 'configs/_base_/datasets/coco.py'}
    return parse_pose_metainfo(metainfo)


def crop_pipeline(config: Config) -> Compose:
    """The transforms of the test pipeline that make a crop of an image and a box."""
    pipeline = Compose(config.test_dataloader.dataset.pipeline)
    steps = pipeline.transforms
    pipeline.transforms = [step for step in steps if not isinstance(step, NOT_CROPPING)]
    return pipeline


def spread_of(model: Any) -> Callable[[], np.ndarray | None]:
    """A function that gives the standard deviations of a joint's error in sigmas, (2,)."""
    return _density_of(model)['sigma_spread']


def uncertainty_of(model: Any, flip_test: bool) -> dict[str, Callable[[], Any]]:
    """What is known of the errors of a model: functions for :class:`JointsMeta`.

    Args:
        model: of :func:`init_model`.
        flip_test: a calibration is for one of the two.
    """
    calibration = model.calibration.get(str(flip_test))
    known = {} if calibration is None else {'calibration': lambda: calibration}
    return {**_density_of(model), **known}


def _density_of(model: Any) -> dict[str, Callable[[], Any]]:
    """Moments of the density that the flow has learnt, computed once, in a second or two.

    They are ``None`` for heads that have not learnt it.
    """
    losses = [part for part in model.head.modules() if isinstance(part, RLELoss)]
    covariance = functools.cache(lambda: learned_covariance(losses[0]) if losses else None)

    def spread() -> np.ndarray | None:
        return None if covariance() is None else np.sqrt(np.diag(covariance()))

    def correlation() -> float | None:
        return None if covariance() is None else float(covariance()[0, 1] / spread().prod())

    return {'sigma_spread': spread, 'sigma_correlation': correlation}


class JointsMeta(Mapping[str, Any]):
    """What the joints are, see :class:`.types.PoseResult`; some of it computed when it is read.

    Args:
        known: ``dataset_meta`` of a model.
        **computed: functions without arguments.
    """

    def __init__(self, known: Mapping[str, Any], **computed: Callable[[], Any]) -> None:
        self._known, self._computed = dict(known), computed

    def __getitem__(self, key: str) -> Any:
        return self._computed[key]() if key in self._computed else self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._known, **self._computed})

    def __len__(self) -> int:
        return len({**self._known, **self._computed})

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # functions cannot be pickled
