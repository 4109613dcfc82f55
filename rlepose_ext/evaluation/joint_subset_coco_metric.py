r"""COCO's metric over the joints that a model and a data set share.

A model trained on COCO has 17 joints, CrowdPose labels 14. Twelve are in both: shoulders, elbows,
wrists, hips, knees and ankles. CrowdPose's top of the head has no counterpart, and its neck is
labelled as a joint of its own, so both stay out. For a person with labelled joints V among the
shared ones,

.. math:: OKS = \frac{1}{|V|} \sum_{k \in V} \exp \frac{-d_k^2}{2 (2 \sigma_k)^2 a}

with the sigmas of the *annotated* data set. Nothing is penalised for joints outside the subset:
such an AP is not comparable with one over all 14.

MMPose's ``CocoMetric`` has ``pred_converter`` and ``gt_converter`` for this, and gives other
numbers: it takes the sigmas from the model's data set, so a wrist gets the fall-off of a nose; it
writes the number of joints into every annotation's ``num_keypoints``, so that persons without a
label count as missed where ``keypoints_crowd`` would leave them out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import CocoMetric

from rlepose_ext.errors import UserError
from rlepose_ext.registry import METRICS


def shared_joints(truth: Sequence[str], predicted: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of indices of the joints that two data sets call by the same name.

    Args:
        truth: names of the annotated joints.
        predicted: names of the model's joints.

    Returns:
        (index in ``truth``, index in ``predicted``), in the order of ``truth``.
    """
    position = {name: index for index, name in enumerate(predicted)}
    return [(index, position[name]) for index, name in enumerate(truth) if name in position]


def subset_annotation(ann: dict, joints: Sequence[int]) -> dict:
    """An annotation of some of its joints.

    Args:
        ann: with flat ``keypoints`` (x, y in image px, visibility) of all joints.
        joints: which to keep, in this order.

    Returns:
        A copy; ``num_keypoints`` counts the labelled ones among those kept. For CrowdPose and the
        twelve joints this is the number that its files have: they do not count head and neck.
    """
    kept = np.asarray(ann['keypoints']).reshape(-1, 3)[list(joints)]
    labelled = int(np.count_nonzero(kept[:, 2] > 0))
    return {**ann, 'keypoints': kept.reshape(-1).tolist(), 'num_keypoints': labelled}


@METRICS.register_module()
class JointSubsetCocoMetric(CocoMetric):
    """``CocoMetric`` for a model of one data set on the annotations of another.

    Joints are matched by name: the model's are those of the data set that it is tested through
    (``CocoDataset`` for a COCO model, whatever the images are: its flip pairs are the model's),
    the annotated ones those of ``gt_metainfo``. A person's score is computed from the shared
    joints as well.

    Args:
        ann_file: annotations in COCO's format.
        gt_metainfo: metainfo of the annotated data set, such as
            ``dict(from_file='configs/_base_/datasets/crowdpose.py')``.
        exclude: names of annotated joints to leave out though the model has them, to compare a
            model of the annotated data set with one of another over the same joints.
        **kwargs: further arguments of ``CocoMetric``.

    Raises:
        UserError: a converter is given as well, the annotations have another number of joints
            than ``gt_metainfo``, ``exclude`` names none of them, or nothing is shared.
    """

    def __init__(
        self, ann_file: str, gt_metainfo: dict, exclude: Sequence[str] = (), **kwargs
    ) -> None:
        converters = sorted(kwargs.keys() & {'pred_converter', 'gt_converter'})
        if converters:
            raise UserError(
                f'JointSubsetCocoMetric matches joints by name; leave {", ".join(converters)} out.'
            )
        super().__init__(ann_file=ann_file, **kwargs)
        self.gt_metainfo = parse_pose_metainfo(dict(gt_metainfo))
        self.exclude = frozenset([exclude] if isinstance(exclude, str) else exclude)
        unknown = self.exclude - set(self.gt_metainfo['keypoint_name2id'])
        if unknown:
            raise UserError(
                f'exclude has {sorted(unknown)}, which {self.gt_metainfo["dataset_name"]!r} has '
                f'not; its joints are {list(self.gt_metainfo["keypoint_name2id"])}.'
            )
        self._check_annotations()
        self._subset_applied = False

    def _check_annotations(self) -> None:
        joints = self.gt_metainfo['num_keypoints']
        for ann in self.coco.dataset['annotations']:
            count = len(ann.get('keypoints', ()))
            if count != 3 * joints:
                raise UserError(
                    f'annotation {ann["id"]} in {self.ann_file} has {count} numbers in its '
                    f'keypoints, expected {3 * joints}: gt_metainfo is '
                    f'{self.gt_metainfo["dataset_name"]!r} with {joints} joints. Give the '
                    'metainfo that the annotations were made for.'
                )

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the subset: sigmas and number of joints are those that are shared."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        truth, predicted = (
            [meta['keypoint_id2name'][index] for index in range(meta['num_keypoints'])]
            for meta in (self.gt_metainfo, dataset_meta)
        )
        pairs = [
            pair for pair in shared_joints(truth, predicted) if truth[pair[0]] not in self.exclude
        ]
        if not pairs:
            raise UserError(
                f'{self.gt_metainfo["dataset_name"]!r} and {dataset_meta["dataset_name"]!r} share '
                f'no joint: {truth} and {predicted}. Evaluate on annotations of the same body.'
            )
        kept = [index for index, _ in pairs]
        mapping = [(index, place) for place, (_, index) in enumerate(pairs)]
        self.pred_converter = {'num_keypoints': len(pairs), 'mapping': mapping}
        self._dataset_meta = {
            **dataset_meta,
            'sigmas': np.asarray(self.gt_metainfo['sigmas'])[kept],
            'num_keypoints': len(pairs),
        }
        if not self._subset_applied:
            # Once: the reader is used again in the next validation.
            for ann in self.coco.dataset['annotations']:
                ann.update(subset_annotation(ann, kept))
            self._subset_applied = True
