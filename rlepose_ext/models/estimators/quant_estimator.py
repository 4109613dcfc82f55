"""A top-down estimator that is trained for, and rounds to, 8-bit integers."""

from typing import Any

import torch
from mmengine.logging import print_log
from mmpose.models.pose_estimators import TopdownPoseEstimator
from torch import Tensor

from rlepose_ext.checks import check_arguments, check_counts
from rlepose_ext.errors import UserError
from rlepose_ext.quant import calibrate, layers
from rlepose_ext.quant.to_integer import snap
from rlepose_ext.registry import MODELS

STAGES = ('ptq', 'lsq', 'qat')


@MODELS.register_module()
class QuantPoseEstimator(TopdownPoseEstimator):
    """MMPose's ``TopdownPoseEstimator`` with weights and activations rounded to 8 bit.

    Three stages, each a config whose ``load_from`` is the checkpoint of the one before:

    - ``'ptq'``: nothing is trained. The first batches set the ranges, weights are rounded and
      biases corrected (:mod:`rlepose_ext.quant.calibrate`).
    - ``'lsq'``: weights, batch norm's scale and shift, and the scale and zero point of each
      activation are trained (LSQ+, :mod:`rlepose_ext.quant.fake_quant`). Scales of weights follow
      the weights.
    - ``'qat'``: zero points are rounded, all scales are fixed to what integers allow
      (:mod:`rlepose_ext.quant.integer`), and weights are trained.

    A stage that starts from a checkpoint without ranges, such as the float model's, takes them from
    its first batches, too. Running statistics of batch norm never change.

    Args:
        quant: ``stage``, and ``batches`` (default 100), how many training batches set the ranges.
        **options: arguments of ``TopdownPoseEstimator``: a ``MobileNetV2`` with the head of RLE
            (``split=True``), SimCC or both.

    Raises:
        UserError: an unknown stage or option, another backbone or head.
    """

    def __init__(self, quant: dict, **options: Any) -> None:
        super().__init__(**options)
        check_arguments('quant', _options, **quant)
        self.stage, self.batches = _options(**quant)
        if self.stage not in STAGES:
            raise UserError(f'quant: stage is {self.stage!r}, expected one of {", ".join(STAGES)}')
        check_counts('quant', batches=self.batches)
        layers.quantise(self)
        if self.stage == 'lsq':
            for point in layers.points(self).values():
                point.learned()
        if self.stage in ('ptq', 'qat'):
            for module in self.modules():
                if isinstance(module, layers.QuantLayer):
                    channels = len(module.folded()[0])
                    module.fix_weight_scale(torch.full((channels,), torch.nan))
        self._seen, self._ready, self._snapped = 0, False, False

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor]:
        """Features of crops (N, C, h, w), normalised.

        Raises:
            UserError: there are no ranges yet.
        """
        if self.backbone.conv1.input.mode == 'round' and not self._has_ranges():
            raise UserError(
                'this model has no ranges of activations yet, so it cannot round them. Train this '
                'config first, or give the checkpoint of such a training.'
            )
        return super().extract_feat(inputs)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses of a batch; 0 for batches that only set the ranges."""
        if not self._has_ranges():
            self._observe(inputs)
            return self._nothing_to_learn()
        if self.stage == 'ptq':
            return self._nothing_to_learn()
        if self.stage == 'qat' and not self._snapped:
            snap(self)
            self._snapped = True
        return super().loss(inputs, data_samples)

    def _has_ranges(self) -> bool:
        """Whether all activations have; not asked again once they have, as it waits for a GPU."""
        self._ready = self._ready or layers.is_calibrated(self)
        return self._ready

    def _observe(self, inputs: Tensor) -> None:
        if self._seen == 0:
            calibrate.equalise(self)
        calibrate.observe(self, inputs)
        self._seen += 1
        if self._seen == self.batches:
            calibrate.finish(self, inputs)
            print_log(f'ranges of {len(layers.points(self))} activations are set', 'current')

    def _nothing_to_learn(self) -> dict[str, Tensor]:
        """A loss of 0 that every trained parameter has a part in."""
        trained = (p for p in self.parameters() if p.requires_grad)
        return {'loss_calibration': sum(p.nan_to_num().sum() for p in trained) * 0}


def _options(stage: str, batches: int = 100) -> tuple[str, int]:
    return stage, batches
