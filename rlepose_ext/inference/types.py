"""What the stages of inference hand on: the persons of one image.

Plain arrays in image pixels, no network types: a tracker, a drawing or a JSON file needs neither
torch nor MMPose.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.drawing import Style, draw_poses


@dataclass(frozen=True, eq=False)
class PoseResult:
    """The N persons found in one image, K joints each.

    Attributes:
        boxes: (N, 4) x1, y1, x2, y2 in image px.
        box_scores: (N,) of the detector, 1 where there was none.
        keypoints: (N, K, 2) in image px.
        scores: (N, K) confidence of each joint; their scale is the method's.
        sigma: (N, K, 2) scale of the error in x and y, image px; ``None`` for methods that
            do not estimate it. ``meta['sigma_spread']`` times it is a standard deviation.
        ids: (N,) identity of the person in a video; ``None`` without tracking.
        meta: what the joints are: ``keypoint_id2name``, ``skeleton_links``,
            ``keypoint_colors``, ``skeleton_link_colors``, ``sigmas``, ``flip_indices``,
            as MMPose's ``dataset_meta``; and ``sigma_spread``, (2,) or ``None``, see
            :mod:`rlepose_ext.models.losses.rle`.
        image: (H, W, 3) uint8 BGR, where the caller wants to draw on it.
    """

    boxes: np.ndarray
    box_scores: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    sigma: np.ndarray | None = None
    ids: np.ndarray | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)
    image: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> PoseResult:
        """Some of the persons: an index array, a mask or a slice."""
        if isinstance(index, (int, np.integer)):
            index = [index]
        names = ('boxes', 'box_scores', 'keypoints', 'scores', 'sigma', 'ids')
        arrays = {name: getattr(self, name) for name in names}
        return replace(self, **{k: None if v is None else v[index] for k, v in arrays.items()})

    def with_ids(self, ids: np.ndarray) -> PoseResult:
        """The same persons with identities."""
        return replace(self, ids=np.asarray(ids, dtype=np.int64))

    @property
    def standard_deviation(self) -> np.ndarray | None:
        """(N, K, 2) typical error of each joint in x and y, image px; ``None`` if unknown."""
        spread = self.meta.get('sigma_spread')
        return None if self.sigma is None or spread is None else self.sigma * spread

    def draw(self, image: np.ndarray | None = None, **style: Any) -> np.ndarray:
        """The image with boxes and skeletons on it.

        Args:
            image: (H, W, 3) uint8 BGR; by default the image that was predicted.
            **style: fields of :class:`rlepose_ext.inference.drawing.Style`.

        Returns:
            A new picture, BGR.

        Raises:
            UserError: there is no image.
        """
        image = self.image if image is None else image
        if image is None:
            raise UserError('this result was made without keeping its image: draw(image)')
        return draw_poses(image.copy(), self, Style(**style))

    def to_coco(self, image_id: int = 0, category_id: int = 1) -> list[dict[str, Any]]:
        """Entries of a COCO keypoint results file.

        A person's score is that of its box times the mean of its joints' scores, as
        MMPose's ``CocoMetric`` has it with ``score_mode='bbox_keypoint'``, but over all joints.

        Args:
            image_id: of the annotation file.
            category_id: 1 is a person.
        """
        triples = np.concatenate([self.keypoints, self.scores[..., None]], axis=-1)
        entries = []
        for index, triple in enumerate(triples.astype(float)):
            x1, y1, x2, y2 = self.boxes[index].astype(float)
            entry = {
                'image_id': image_id,
                'category_id': category_id,
                'keypoints': _rounded(triple.ravel()),
                'score': round(float(self.box_scores[index] * self.scores[index].mean()), 5),
                'bbox': _rounded(np.array([x1, y1, x2 - x1, y2 - y1])),
            }
            if self.ids is not None:
                entry['track_id'] = int(self.ids[index])
            entries.append(entry)
        return entries

    def to_instances(self) -> list[dict[str, Any]]:
        """Entries of ``instance_info`` in the predictions file of MMPose's demo.

        The box is a list in a list, as there. ``track_id`` and ``sigma`` are ours.
        """
        entries = []
        for index in range(len(self)):
            entry: dict[str, Any] = {
                'keypoints': self.keypoints[index].astype(float).tolist(),
                'keypoint_scores': self.scores[index].astype(float).tolist(),
                'bbox': [self.boxes[index].astype(float).tolist()],
                'bbox_score': float(self.box_scores[index]),
            }
            if self.sigma is not None:
                entry['sigma'] = self.sigma[index].astype(float).tolist()
            if self.ids is not None:
                entry['track_id'] = int(self.ids[index])
            entries.append(entry)
        return entries

    def to_supervision(self) -> Any:
        """``supervision.KeyPoints`` of these persons.

        Raises:
            UserError: the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError(
                'to_supervision() needs the package supervision: pip install supervision'
            ) from error
        # Called so from 0.29 on, `confidence` before.
        scores = 'keypoint_confidence'
        if scores not in inspect.signature(supervision.KeyPoints).parameters:
            scores = 'confidence'
        return supervision.KeyPoints(
            xy=self.keypoints.astype(np.float32),
            class_id=np.zeros(len(self), dtype=int),
            **{scores: self.scores.astype(np.float32)},
        )


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]
