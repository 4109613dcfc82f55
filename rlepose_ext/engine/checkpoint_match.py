"""A checkpoint of another model is an error, not a warning.

MMEngine loads state dicts with ``strict=False``: where nothing fits it logs a long
warning and then tests (or trains) randomly initialised layers. The rule here asks
which parameters loading has written:

- testing, predicting, resuming: all of them, apart from those of losses (the flow of
  an RLE loss exists only for training, and published checkpoints may lack it);
- fine-tuning (``load_from``): at least one, and one of the backbone if there is a
  backbone. A new head is legitimate; one warning lists what was not loaded.

It is no hook that a config could name: MMEngine calls hooks before it copies the weights and not
after, and inferencers load without a runner. :mod:`rlepose_ext.engine.equip` calls it where weights
are loaded.

``init_cfg=dict(type='Pretrained', ...)`` is not touched, and with
``runner.load_checkpoint(..., strict=False)`` only what fits is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import nn

_SHOWN = 4  # keys of each kind in a message


@dataclass(frozen=True)
class Match:
    """How much of a model a checkpoint has filled.

    Attributes:
        total: parameters (tensors) of the model.
        loaded: those that were written.
        missing: names that the file does not have; losses' parameters are not counted.
        mismatched: ``'name: file (17, 64), model (14, 64)'``.
        unexpected: names in the file that the model does not have.
        empty_parts: top-level children with parameters of which none was written.
    """

    total: int
    loaded: int
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unexpected: tuple[str, ...]
    empty_parts: tuple[str, ...]

    def describe(self) -> str:
        """What did and did not fit, a few names of each kind."""
        parts = [f'{self.loaded} of {self.total} parameters of the model are in it']
        for label, names in (
            ('other shape', self.mismatched),
            ('missing', self.missing),
            ('in the file but not in the model', self.unexpected),
        ):
            if names:
                more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
                parts.append(f'{label}: {", ".join(names[:_SHOWN])}{more}')
        return '; '.join(parts)


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside DDP and test-time augmentation wrappers."""
    from mmengine.model import BaseTTAModel, is_model_wrapper

    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def snapshot(model: nn.Module) -> dict[str, tuple[int, int]]:
    """A mark for each parameter, which changes when the parameter is written to.

    Asking the parameters, rather than comparing names, is right also for modules that
    rename keys while they load. Wrappers around the model are looked through.
    """
    return {name: (id(p), p._version) for name, p in unwrap(model).named_parameters()}


def compare(model: nn.Module, before: Mapping[str, tuple[int, int]], loaded: Mapping) -> Match:
    """What loading a checkpoint, or a state dict, has done since ``before = snapshot(model)``."""
    model = unwrap(model)
    after = snapshot(model)
    state = loaded.get('state_dict', loaded)
    file = {
        name.removeprefix('module.'): value
        for name, value in state.items()
        if hasattr(value, 'shape')
    }
    untouched = [name for name, mark in after.items() if before.get(name) == mark]
    mismatched, missing = [], []
    for name in untouched:
        if _training_only(name):
            continue
        ours, theirs = model.get_parameter(name), file.get(name)
        if theirs is not None and tuple(theirs.shape) != tuple(ours.shape):
            mismatched.append(f'{name}: file {tuple(theirs.shape)}, model {tuple(ours.shape)}')
        else:
            missing.append(name)
    parts = {name.split('.')[0] for name in after}
    filled = {name.split('.')[0] for name in set(after) - set(untouched)}
    return Match(
        total=len(after),
        loaded=len(after) - len(untouched),
        missing=tuple(missing),
        mismatched=tuple(mismatched),
        unexpected=tuple(sorted(set(file) - set(model.state_dict()))),
        empty_parts=tuple(sorted(parts - filled)),
    )


def unused(model: nn.Module, loaded: Mapping) -> list[str]:
    """Names in a checkpoint that ``model``, which has loaded it, has no place for.

    Asked of torch, since modules rename or drop keys of older files while they load. Losses' do
    not count.
    """
    model = unwrap(model)
    state = loaded.get('state_dict', loaded)
    state = {name.removeprefix('module.'): value for name, value in state.items()}
    own = model.state_dict()
    more = {k: v for k, v in state.items() if k not in own and not _training_only(k)}
    return model.load_state_dict(more, strict=False).unexpected_keys if more else []


def require_exact(match: Match, filename: str) -> None:
    """Raise if a parameter keeps its random values.

    Raises:
        UserError: a parameter of the model was not in the file.
    """
    if match.missing or match.mismatched:
        raise UserError(
            f'checkpoint {filename} is of another model than the config: {match.describe()}. '
            'Give the checkpoint that this config has trained, or the config that trained the '
            'checkpoint. To start training from part of it, use load_from.'
        )


def require_related(match: Match, filename: str) -> None:
    """Accept a checkpoint to fine-tune from, with a warning for what did not fit.

    Raises:
        UserError: nothing fits, or nothing of the backbone.
    """
    from mmengine.logging import print_log

    if not match.loaded or 'backbone' in match.empty_parts:
        raise UserError(
            f'load_from={filename} is of another model: {match.describe()}. Training would '
            'start from random weights. Choose a checkpoint with the same backbone, or remove '
            "load_from; a backbone alone is loaded by init_cfg=dict(type='Pretrained', ...)."
        )
    if match.missing or match.mismatched:
        print_log(
            f'Fine-tuning from {filename}: {match.describe()}. What is not loaded starts from '
            'its initial values.',
            logger='current',
            level=30,
        )


def _training_only(name: str) -> bool:
    return any(part.startswith('loss') for part in name.split('.'))


def _require_resumable(checkpoint: Mapping[str, Any], filename: str) -> None:
    meta = checkpoint.get('meta') or {}
    lacks = [key for key in ('epoch', 'iter') if key not in meta]
    lacks += [key for key in ('message_hub',) if key not in checkpoint]
    if lacks:
        raise UserError(
            f'checkpoint {filename} holds weights but no training state ({", ".join(lacks)} '
            'missing), so training cannot resume from it. Start from it with '
            f'--cfg-options load_from={filename} instead of --resume.'
        )


def require_for(runner: Any, match: Match, checkpoint: Mapping[str, Any], filename: str) -> None:
    """Apply the rule for what a runner is about to do.

    Raises:
        UserError: the checkpoint is of another model, or holds no training state to resume.
    """
    from mmengine.runner import BaseLoop

    # train() builds its loop before it loads; test and val leave the config there.
    training = isinstance(runner._train_loop, BaseLoop)
    if training and not runner._resume:
        require_related(match, filename)
    else:
        require_exact(match, filename)
    if training and runner._resume:
        _require_resumable(checkpoint, filename)
