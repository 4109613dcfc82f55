"""Notice a loss that no longer means anything, and say which samples it came from."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from rlepose_ext.errors import UserError

# What MMPose's PackPoseInputs keeps of a sample's origin, and the name we give it.
_ORIGIN = {'img_path': 'image', 'img_id': 'image_id', 'id': 'annotation_id'}


class LossWatch:
    """Tells a broken training from a bad batch.

    A loss is bad if it

    - is NaN or infinite. Under a ``GradScaler`` an overflow is part of the game: the step is
      skipped and the scale halved. There only ``patience`` such losses in a row are bad;
    - explodes: its absolute value exceeds ``factor`` times the greatest one of the last
      ``window`` iterations, and 1. Absolute, since a negative log-likelihood is negative in
      a good training. Nothing explodes in the first ``window`` iterations.

    Args:
        factor: how many times larger; infinity switches the second rule off.
        window: iterations to compare with.
        patience: losses in a row, under a ``GradScaler``.

    Raises:
        UserError: a number that makes no sense.
    """

    def __init__(self, factor: float = 1000.0, window: int = 50, patience: int = 10) -> None:
        if not factor > 1 or window < 1 or patience < 1:
            raise UserError(
                'expected factor > 1, window >= 1 and patience >= 1, got '
                f'factor={factor}, window={window}, patience={patience}'
            )
        self.factor = factor
        self.window = window
        self.patience = patience
        self._recent: deque[float] = deque(maxlen=window)
        self._in_a_row = 0

    def see(self, loss: float, scaled: bool = False) -> str | None:
        """Take the loss of an iteration.

        Args:
            loss: its value.
            scaled: whether a ``GradScaler`` is at work.

        Returns:
            What is wrong, as the end of a sentence, or None.
        """
        if not math.isfinite(loss):
            self._in_a_row += 1
            if scaled and self._in_a_row < self.patience:
                return None
            row = f', the {self._in_a_row}th time in a row' if self._in_a_row > 1 else ''
            return f'is {loss}{row}'
        self._in_a_row = 0
        size = abs(loss)
        if len(self._recent) == self.window:
            greatest = max(self._recent)
            if size > max(self.factor * greatest, 1.0):
                return (
                    f'exploded to {loss:.4g}; in the last {self.window} iterations it was at most '
                    f'{greatest:.4g} in size'
                )
        self._recent.append(size)
        return None


def total_loss(terms: Mapping[str, Any]) -> float | None:
    """The loss of an iteration: ``loss``, or the sum of all terms that are named so.

    Args:
        terms: what ``train_step`` returns: names to scalars.

    Returns:
        The value; None if there is no such term.
    """
    if 'loss' in terms:
        return number(terms['loss'])
    values = [number(value) for name, value in terms.items() if 'loss' in name]
    return sum(values) if values else None


def number(value: Any) -> float:
    """A scalar, with or without a gradient, as a Python number."""
    return float(value.item() if hasattr(value, 'item') else value)


def sample_origins(batch: Any) -> list[dict[str, Any]]:
    """Where the samples of a batch come from.

    Args:
        batch: of MMPose's loaders: ``{'inputs': [...], 'data_samples': [...]}``. Of others
            nothing is known.

    Returns:
        For each sample ``image``, ``image_id`` and ``annotation_id`` as far as it has them,
        and ``not_finite``: names of what holds NaN or infinity.
    """
    if not isinstance(batch, Mapping):
        return []
    samples = batch.get('data_samples') or []
    inputs = batch.get('inputs')
    origins = []
    for number, sample in enumerate(samples):
        known = getattr(sample, 'metainfo', sample if isinstance(sample, Mapping) else {})
        origin = {name: _plain(known[key]) for key, name in _ORIGIN.items() if key in known}
        parts = dict(_tensors(sample))
        if isinstance(inputs, (Sequence, torch.Tensor)) and number < len(inputs):
            parts['inputs'] = inputs[number]
        bad = sorted(name for name, value in parts.items() if not _is_finite(value))
        origins.append({**origin, **({'not_finite': bad} if bad else {})})
    return origins


def describe(origins: Sequence[Mapping[str, Any]], most: int = 16) -> str:
    """The samples in words, those with values that are not finite first."""
    ordered = sorted(origins, key=lambda origin: 'not_finite' not in origin)
    texts = [', '.join(f'{key} {value}' for key, value in origin.items()) for origin in ordered]
    shown = '; '.join(f'({text or "unknown"})' for text in texts[:most])
    more = f'; and {len(texts) - most} more' if len(texts) > most else ''
    return (shown + more) or 'unknown (the batch is not of the kind that MMPose makes)'


def all_finite(parameters: Iterable[torch.Tensor]) -> bool:
    """Whether no value is NaN or infinite. Waits for the device once."""
    flags = [torch.isfinite(parameter.detach()).all() for parameter in parameters]
    return not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all())


def _tensors(sample: Any) -> Iterable[tuple[str, Any]]:
    """Targets and labels of a data sample."""
    for part in ('gt_instance_labels', 'gt_fields', 'gt_instances'):
        content = getattr(sample, part, None)
        yield from content.items() if content is not None else ()


def _is_finite(value: Any) -> bool:
    try:
        value = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return True
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _plain(value: Any) -> Any:
    """A number or text that JSON takes."""
    return value.item() if hasattr(value, 'item') and getattr(value, 'size', 1) == 1 else value
