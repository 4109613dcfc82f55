r"""PCKh on LIP, with the columns of its published tables.

A prediction :math:`\hat p_{nk}` of joint k in image n is right if

.. math:: \|\hat p_{nk} - p_{nk}\| \le t \, \|p_{n,head} - p_{n,neck}\|,   t = 0.5

Every labelled joint counts, visible or occluded. An image whose head or neck has no label has no
unit of length: none of its joints counts. LIP's benchmark makes these columns of it:

- Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle: the percentage of each of the two joints, then
  their mean. "Head" is neck and top of the head.
- U.Body: all points of joints 8 to 15 together. Total: all but pelvis and spine together.

MMPose's ``MpiiPCKAccuracy`` has another unit, the head boxes of MPII's .mat file, and no U.Body.

Source: Yang and Ramanan, *Articulated Human Detection with Flexible Mixtures of Parts*, TPAMI
2013 (PCK); Andriluka et al., *2D Human Pose Estimation: New Benchmark and State of the Art
Analysis*, CVPR 2014 (PCKh); the columns are those of LIP's single-person pose benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from rlepose_ext.annotations.lip import COLUMNS, HEAD, NECK, NUM_JOINTS, POOLED
from rlepose_ext.errors import UserError
from rlepose_ext.registry import METRICS


def normalised_distances(
    predicted: np.ndarray, truth: np.ndarray, labelled: np.ndarray
) -> np.ndarray:
    """Distance of each joint in head sizes.

    Args:
        predicted: image px, shape (N, 16, 2).
        truth: image px, shape (N, 16, 2).
        labelled: boolean, shape (N, 16).

    Returns:
        Shape (N, 16); nan where nothing can be counted: a joint without label, and all joints
        of an image without head or neck, or with both at one place. A prediction that is not
        finite is infinitely far.
    """
    truth = np.where(labelled[..., None], truth, 0).astype(np.float64)
    head = np.linalg.norm(truth[:, HEAD] - truth[:, NECK], axis=-1)
    has_head = labelled[:, HEAD] & labelled[:, NECK] & (head > 0)
    distance = np.linalg.norm(predicted - truth, axis=-1)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    distance = distance / np.where(has_head, head, 1)[:, None]
    return np.where(labelled & has_head[:, None], distance, np.nan)


def pckh_columns(distances: np.ndarray, thr: float = 0.5) -> dict[str, float]:
    """Percentages of a published table.

    Args:
        distances: in head sizes, shape (N, 16), nan for what does not count.
        thr: a joint is right up to here, itself included.

    Returns:
        Column to percentage, nan for a column without a point.
    """
    counted = ~np.isnan(distances)
    right = np.where(counted, distances, np.inf) <= thr

    def percent(joints: Sequence[int]) -> float:
        joints = list(joints)
        points = counted[:, joints].sum()
        return float(100 * right[:, joints].sum() / points) if points else float('nan')

    columns = {}
    for name, joints in COLUMNS.items():
        sides = [percent([joint]) for joint in joints]
        known = [side for side in sides if side == side]  # not nan
        columns[name] = float(np.mean(known)) if known else float('nan')
    return columns | {name: percent(joints) for name, joints in POOLED.items()}


@METRICS.register_module()
class LIPPCKh(BaseMetric):
    """PCKh of LIP's benchmark, in percent.

    Results are ``PCKh/Head``, ... ``PCKh/U.Body``, ``PCKh/Total``, and ``PCKh/skipped``, the
    number of images without head size.

    Args:
        thr: in head sizes.
        collect_device: as in MMEngine's metrics.
        prefix: in place of ``PCKh``.

    Raises:
        UserError: a threshold that is not positive, or samples of another number of joints.
    """

    default_prefix = 'PCKh'

    def __init__(
        self, thr: float = 0.5, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not thr > 0:
            raise UserError(f'LIPPCKh: thr is {thr!r}, expected more than 0, such as 0.5.')
        self.thr = thr

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        """Keep each image's normalised distances."""
        for sample in data_samples:
            predicted = np.asarray(sample['pred_instances']['keypoints'])
            truth = np.asarray(sample['gt_instances']['keypoints'])
            for what, points in (('prediction', predicted), ('label', truth)):
                if points.shape != (1, NUM_JOINTS, 2):
                    raise UserError(
                        f'LIPPCKh: a {what} has shape {points.shape}, expected one person with '
                        f"LIP's {NUM_JOINTS} joints, (1, {NUM_JOINTS}, 2). Use another metric "
                        'for another data set.'
                    )
            visible = np.asarray(sample['gt_instances']['keypoints_visible'])
            labelled = visible.reshape(1, NUM_JOINTS, -1)[..., 0] > 0
            self.results.append(normalised_distances(predicted, truth, labelled)[0])

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """The columns over all images, and how many images were skipped."""
        distances = np.stack(results)
        # A head has a distance of 0 or more wherever an image counts.
        skipped = int(np.isnan(distances[:, HEAD]).sum())
        if skipped:
            print_log(
                f'{skipped} of {len(results)} images have no head size (no label of head or neck) '
                'and do not count.',
                logger='current',
            )
        return {**pckh_columns(distances, self.thr), 'skipped': skipped}
