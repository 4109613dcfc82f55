"""A quantised training as tables of integers, and poses from them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from mmpose.registry import KEYPOINT_CODECS

from rlepose_ext.errors import UserError
from rlepose_ext.export.calibration import calibration_crops
from rlepose_ext.export.decode import decoder_of
from rlepose_ext.export.graph import Normalise
from rlepose_ext.export.onnx import (
    Exported,
    check_target,
    describe,
    differences_of,
    drawn_crops,
    torch_outputs,
    written,
)
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.in_boxes import Points
from rlepose_ext.inference.onnx_file import joints_meta
from rlepose_ext.inference.onnx_pose import OnnxPose
from rlepose_ext.models.estimators import QuantPoseEstimator
from rlepose_ext.models.heads.simcc_bins import BinReading
from rlepose_ext.quant import integer
from rlepose_ext.quant.to_integer import integer_model


class IntegerPose(OnnxPose):
    """Integer tables as a pose model: what a processor with integers alone would find.

    Only the crop's normalisation and the decoding of the outputs are floating point.

    Args:
        model: the npz file of ``rlepose export --integer``, or tables in memory.
        batch_size: most crops at once.

    Raises:
        UserError: files that are missing, damaged or of another kind.
    """

    def __init__(self, model: str | Path | integer.IntegerModel, batch_size: int = 8) -> None:
        self.batch_size = batch_size
        in_memory = isinstance(model, integer.IntegerModel)
        self.tables = model if in_memory else integer.load(model)
        self.content = self.tables.content
        try:
            self.meta = joints_meta(self.content)
            self.input_size = tuple(self.content['input_size'])
            self.has_sigma = 'sigma' in self.content['outputs']
            norm = self.content['normalise']
            self._mean, self._std = (np.float32(norm[key]) for key in ('mean', 'std'))
            self._to_rgb = norm['to_rgb']
            codec = KEYPOINT_CODECS.build(dict(self.content['codec']))
        except (KeyError, TypeError) as error:
            raise UserError(f'{model}: its JSON is not whole: {error!r}') from error
        bins = self.content.get('bins')
        self._decode = decoder_of(codec, {}, bins and BinReading(**bins))

    def points(self, pixels: np.ndarray, clock: Clock | None = None) -> Points:
        """See :meth:`InBoxes.points`."""
        parts = []
        with (clock or Clock())('network'):
            for start in range(0, len(pixels), self.batch_size):
                parts.append(self._points(pixels[start : start + self.batch_size]))
        keypoints, scores, *sigma = (np.concatenate(each) for each in zip(*parts, strict=True))
        return keypoints, scores, sigma[0] if sigma else None

    def _points(self, pixels: np.ndarray) -> list[np.ndarray]:
        x = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        x = x[:, ::-1] if self._to_rgb else x
        outputs = dict(zip(self.tables.outputs, self.tables((x - self._mean) / self._std),
                           strict=True))  # fmt: skip
        found = {name.removeprefix('head.'): torch.from_numpy(o) for name, o in outputs.items()}
        sigma = []
        if 'fc_sigma' in found:
            sigma = [found['fc_sigma'].unflatten(1, (-1, 2)).sigmoid()]
        if 'fc_coord' in found:
            coords = found['fc_coord'].unflatten(1, (-1, 2))
            given = [torch.cat([coords, *sigma], dim=-1)]
        else:
            given = [found['mlp_head_x'], found['mlp_head_y'], *sigma]
        return [each.numpy() for each in self._decode(*given)]


def tables_of(estimator: PoseEstimator) -> integer.IntegerModel:
    """The integers of an estimator of a quantised model, with all that a pose needs.

    Args:
        estimator: built with ``fast=False``, so that batch norm is as it was trained.

    Raises:
        UserError: its model is not quantised, or has no ranges.
    """
    model = estimator.model
    if not isinstance(model, QuantPoseEstimator):
        raise UserError(
            f'integers come from a quantised training (rlepose_ext.QuantPoseEstimator), and this '
            f'model is a {type(model).__name__}. `rlepose export --int8` rounds any model.'
        )
    tables = integer_model(model, estimator.input_size)
    norm = Normalise(model.data_preprocessor)
    tables.content = {
        **describe(estimator, half=False, layout='rlepose'),
        'network': 'int8',
        'bins': estimator.bins and asdict(estimator.bins),
        'normalise': {
            'mean': norm.mean.tolist(),
            'std': norm.std.tolist(),
            'to_rgb': norm.to_rgb,
        },
    }
    return tables


def export_integer(
    model: str | Path,
    checkpoint: str | Path | None,
    out: str | Path,
    calibrate: str | Path | None = None,
) -> Exported:
    """Write a quantised model as integer tables, and run them on crops beside the model.

    Args:
        model: config file, ``Config`` or name.
        checkpoint: of a quantised training.
        out: the npz file to write; the JSON beside it has the rest.
        calibrate: folder or annotations whose persons are compared; by default drawn people.

    Raises:
        UserError: see :func:`tables_of`. Then nothing is written.
    """
    out = Path(out)
    if out.suffix != '.npz':
        raise UserError(f'{out}: expected a file name that ends in .npz')
    check_target(out, 'integer_format')
    estimator = PoseEstimator(model, checkpoint, device='cpu', flip_test=False, fast=False)
    crops = drawn_crops(estimator) if calibrate is None else calibration_crops(estimator, calibrate)
    expected = torch_outputs(estimator, crops)
    tables = tables_of(estimator)
    found = IntegerPose(tables).points(crops)
    with written(out) as part, written(out.with_suffix('.json')) as beside:
        try:
            integer.save(tables, part, beside)
        except OSError as error:
            raise UserError(f'{out} cannot be written: {error.strerror}') from error
    names = tables.content['outputs']
    return Exported(out, tables.content, differences_of(names, list(found), expected))
