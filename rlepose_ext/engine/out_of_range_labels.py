"""Say how many labels the loss had to leave out."""

from __future__ import annotations

import logging
from typing import Any

from mmengine import dist
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from rlepose_ext.registry import HOOKS


@HOOKS.register_module()
class OutOfRangeLabelsHook(Hook):
    """Logs how many labels are not finite or far off the crop, of all processes together.

    Every run has one (:mod:`rlepose_ext.engine.equip`). Losses that leave such
    labels out count them in ``num_out_of_range``, see
    :class:`rlepose_ext.models.losses.RLELoss`. Whenever ``LoggerHook`` writes a line, the counts
    are summed over losses and processes, and the line has ``out_of_range_labels``, those since the
    run was started or resumed, once there are any. The first ones are explained by a message.
    """

    # Before LoggerHook (BELOW_NORMAL).
    priority = 'NORMAL'

    def __init__(self) -> None:
        self._explained: set[int] = set()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Sum the counts, if a line of the log is due."""
        interval = next((h.interval for h in runner.hooks if isinstance(h, LoggerHook)), 10)
        if not (
            self.every_n_inner_iters(batch_idx, interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            return
        modules = runner.model.modules()
        counts = [m.num_out_of_range for m in modules if hasattr(m, 'num_out_of_range')]
        if not counts:
            return
        total = sum(counts[1:], counts[0].clone())
        dist.all_reduce(total)
        labels, visible = total.tolist()
        if labels:
            runner.message_hub.update_scalar('train/out_of_range_labels', labels, resumed=False)
            self._explain(labels, visible)

    def _explain(self, labels: int, visible: int) -> None:
        """Once, and once more where visible ones follow others that do no harm."""
        # COCO stores unlabelled joints as (0, 0), which may lie far from a small crop.
        level = logging.WARNING if visible else logging.INFO
        if level in self._explained:
            return
        self._explained.add(level)
        print_log(
            f'{labels} labels so far are not finite or more than 10 crop sizes off the crop, '
            f'{visible} of them marked visible. The loss leaves them out, and out_of_range_labels '
            'in the log counts them. '
            + (
                'Check the keypoints and boxes of the annotation file (nan, inf, another unit or '
                'image, boxes of almost no size), and custom transforms.'
                if visible
                else 'None is marked visible: no harm.'
            ),
            logger='current',
            level=level,
        )
