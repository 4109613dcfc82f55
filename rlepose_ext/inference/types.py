"""What the stages of inference hand on: the persons of one image.

Plain arrays in image pixels, no network types: a tracker, a drawing or a JSON file needs neither
torch nor MMPose.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rlepose_ext.calibration.measures import covariances
from rlepose_ext.calibration.repair import LEVELS, Calibration, ellipses
from rlepose_ext.errors import UserError
from rlepose_ext.inference.drawing import Style, draw_poses
from rlepose_ext.inference.images import read_image, write_file, write_image

# Of ``ellipse_95`` in a table.
_ELLIPSE = ('ellipse_long', 'ellipse_short', 'ellipse_angle')


@dataclass(frozen=True, eq=False)
class PoseResult:
    """The N persons found in one image, K joints each.

    Attributes:
        boxes: (N, 4) x1, y1, x2, y2 in image px.
        box_scores: (N,) of the detector, 1 where there was none.
        keypoints: (N, K, 2) in image px.
        scores: (N, K) confidence of each joint; their scale is the method's.
        sigma: (N, K, 2) scale of the error in x and y, image px; ``None`` for methods that
            do not estimate it. ``sigma_px`` are standard deviations.
        track_id: (N,) identity of the person in a video; ``None`` without tracking.
        meta: what the joints are: ``keypoint_id2name``, ``skeleton_links``,
            ``keypoint_colors``, ``skeleton_link_colors``, ``sigmas``, ``flip_indices``,
            as MMPose's ``dataset_meta``; ``sigma_spread``, (2,), and ``sigma_correlation``, of
            the density that the model has learnt, see :mod:`rlepose_ext.models.losses.rle`; and
            ``calibration``, what :class:`rlepose_ext.calibration.repair.Calibration` has found.
        image: (H, W, 3) uint8 BGR, where the caller wants to draw on it.
        path: what the image was read from.
        frame: its number in the video, from 0.
        speed: milliseconds by stage: of one frame, averaged over those that ran together.
    """

    boxes: np.ndarray
    box_scores: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    sigma: np.ndarray | None = None
    track_id: np.ndarray | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)
    image: np.ndarray | None = field(default=None, repr=False)
    path: str | None = None
    frame: int | None = None
    speed: Mapping[str, float] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> PoseResult:
        """Some of the persons: an index array, a mask or a slice."""
        if isinstance(index, (int, np.integer)):
            index = [index]
        names = ('boxes', 'box_scores', 'keypoints', 'scores', 'sigma', 'track_id')
        arrays = {name: getattr(self, name) for name in names}
        return replace(self, **{k: None if v is None else v[index] for k, v in arrays.items()})

    def __repr__(self) -> str:
        count = f'{len(self)} person' + ('' if len(self) == 1 else 's')
        where = '' if self.path is None else f'{self.path}: '
        where += '' if self.frame is None else f'frame {self.frame}: '
        each = ''.join(
            f'\n  {i}: box {np.round(self.boxes[i]).astype(int).tolist()}, score '
            f'{self.box_scores[i]:.2f}, joints {self.scores[i].mean():.2f}'
            + ('' if self.track_id is None else f', track {self.track_id[i]}')
            for i in range(len(self))
        )
        return f'<PoseResult {where}{count}, {self.scores.shape[1]} joints each>{each}'

    def _repr_png_(self) -> bytes | None:
        """The picture with its skeletons, which notebooks show."""
        if self.image is None:
            return None
        return cv2.imencode('.png', self.plot())[1].tobytes()

    def with_track_id(self, ids: np.ndarray) -> PoseResult:
        """The same persons with identities."""
        return replace(self, track_id=np.asarray(ids, dtype=np.int64))

    @property
    def names(self) -> list[str]:
        """Names of the K joints."""
        by_id = self.meta.get('keypoint_id2name', {})
        return [str(by_id.get(i, i)) for i in range(self.keypoints.shape[1])]

    @property
    def _calibration(self) -> Calibration | None:
        known = self.meta.get('calibration')
        return None if self.sigma is None or known is None else Calibration.from_plain(known)

    @property
    def sigma_px(self) -> np.ndarray | None:
        """(N, K, 2) standard deviation of the error in x and y, image px; ``None`` if unknown.

        Of a calibrated model (`rlepose calibrate`) it is that of errors on labels.
        """
        known = self._calibration
        if known is not None:
            return known.deviation(self.sigma, sizes_of(self.boxes))
        spread = self.meta.get('sigma_spread')
        return None if self.sigma is None or spread is None else self.sigma * spread

    @property
    def covariance_px(self) -> np.ndarray | None:
        """(N, K, 2, 2) covariance of the error in x and y, px²; ``None`` if unknown."""
        known, deviation = self._calibration, self.sigma_px
        if deviation is None:
            return None
        of_flow = self.meta.get('sigma_correlation') or 0.0
        return covariances(deviation, of_flow if known is None else known.correlation)

    @property
    def ellipse_95(self) -> np.ndarray | None:
        """:meth:`ellipses` of 95 %."""
        return self.ellipses(0.95)

    def ellipses(self, level: float = 0.95) -> np.ndarray | None:
        """Ellipses around the joints that hold their labels this often, of a calibrated model.

        Args:
            level: 0.5, 0.9 or 0.95.

        Returns:
            (N, K, 3): longer and shorter half axis, px, and the angle of the longer one with the
            x axis, degrees clockwise on the screen, as OpenCV draws them. NaN for joints that could
            not be calibrated; ``None`` without calibration.

        Raises:
            UserError: another level.
        """
        if level not in LEVELS:
            raise UserError(f'level: expected one of {", ".join(map(str, LEVELS))}, got {level}')
        known = self._calibration
        if known is None:
            return None
        return ellipses(self.covariance_px, known.radius[:, LEVELS.index(level)])

    def plot(self, image: Any = None, **style: Any) -> np.ndarray:
        """The image with boxes and skeletons on it.

        Args:
            image: path, array (BGR) or PIL image, see :func:`.images.read_image`; by default the
                image that was predicted.
            **style: fields of :class:`rlepose_ext.inference.drawing.Style`.

        Returns:
            A new picture, BGR.

        Raises:
            UserError: there is no image, or it cannot be read.
        """
        image = self.image if image is None else read_image(image)
        if image is None:
            raise UserError('this result was made without keeping its image: plot(image)')
        return draw_poses(image.copy(), self, Style(**style))

    def show(self, **style: Any) -> None:
        """Open the picture of :meth:`plot` in the system's viewer; in a notebook, show it there.

        Raises:
            UserError: there is no image, or Pillow is not installed.
        """
        try:
            from PIL import Image
        except ImportError as error:
            raise UserError(
                'show() needs the package Pillow: pip install pillow, or save(path)'
            ) from error
        picture = Image.fromarray(np.ascontiguousarray(self.plot(**style)[..., ::-1]))
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            get_ipython = None
        if get_ipython is not None and get_ipython() is not None:
            display(picture)
        else:
            picture.show()

    def save(self, path: str | Path, **style: Any) -> Path:
        """Write the picture of :meth:`plot`, whole or not at all.

        Args:
            path: the file; folders are made.
            **style: fields of :class:`rlepose_ext.inference.drawing.Style`.

        Raises:
            UserError: it cannot be written.
        """
        path = Path(path)
        return write_image(path, self.plot(**style))

    def to_json(self, path: str | Path | None = None) -> str:
        """The persons as JSON: a list with ``box``, ``score``, ``track_id`` and ``keypoints``.

        ``keypoints`` is a list of ``name``, ``x``, ``y``, ``score`` and, where they are known,
        ``sigma_px`` and ``ellipse_95``.

        Args:
            path: write it there too; folders are made.

        Raises:
            UserError: it cannot be written.
        """
        text = json.dumps(list(self._persons()), indent=1)
        if path is not None:
            write_file(Path(path), text.encode())
        return text

    def to_df(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each joint of each person.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError('to_df() needs the package pandas: pip install pandas') from error
        count, joints = self.scores.shape

        def columns(names: Sequence[str], values: np.ndarray | None) -> dict[str, np.ndarray]:
            parts = () if values is None else np.moveaxis(np.float64(values).round(3), -1, 0)
            return dict(zip(names, parts, strict=False))

        persons = {'person': np.arange(count), 'track_id': self.track_id}
        persons['person_score'] = np.float64(self.box_scores).round(4)
        persons |= columns(('x1', 'y1', 'x2', 'y2'), self.boxes)
        each = columns(('x', 'y'), self.keypoints)
        each['score'] = np.float64(self.scores).round(4)
        each['joint'] = np.array(self.names * count, dtype=object)
        each |= columns(('sigma_x', 'sigma_y'), self.sigma_px)
        each |= columns(_ELLIPSE, self.ellipse_95)
        table = {'path': self.path, 'frame': self.frame}
        table |= {n: None if v is None else np.repeat(v, joints) for n, v in persons.items()}
        return pandas.DataFrame(table | {n: v.ravel() for n, v in each.items()})

    def _persons(self) -> Iterator[dict[str, Any]]:
        deviation, ellipse = self.sigma_px, self.ellipse_95
        for index in range(len(self)):
            joints = []
            for joint, name in enumerate(self.names):
                x, y = _rounded(self.keypoints[index, joint])
                score = round(float(self.scores[index, joint]), 4)
                joints.append({'name': name, 'x': x, 'y': y, 'score': score})
                if deviation is not None:
                    joints[-1]['sigma_px'] = _rounded(deviation[index, joint])
                if ellipse is not None:
                    joints[-1]['ellipse_95'] = _rounded(ellipse[index, joint])
            entry = {'box': _rounded(self.boxes[index])}
            entry['score'] = round(float(self.box_scores[index]), 4)
            if self.track_id is not None:
                entry['track_id'] = int(self.track_id[index])
            yield {**entry, 'keypoints': joints}

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
            if self.track_id is not None:
                entry['track_id'] = int(self.track_id[index])
            entries.append(entry)
        return entries

    def to_instances(self) -> list[dict[str, Any]]:
        """Entries of ``instance_info`` in the predictions file of MMPose's demo.

        The box is a list in a list, as there. ``track_id``, ``sigma``, ``sigma_px`` and
        ``ellipse_95`` are ours.
        """
        entries = []
        known = {'sigma_px': self.sigma_px, 'ellipse_95': self.ellipse_95}
        for index in range(len(self)):
            entry: dict[str, Any] = {
                'keypoints': self.keypoints[index].astype(float).tolist(),
                'keypoint_scores': self.scores[index].astype(float).tolist(),
                'bbox': [self.boxes[index].astype(float).tolist()],
                'bbox_score': float(self.box_scores[index]),
            }
            if self.sigma is not None:
                entry['sigma'] = self.sigma[index].astype(float).tolist()
            for name, values in known.items():
                if values is not None:
                    entry[name] = [_rounded(value) for value in values[index]]
            if self.track_id is not None:
                entry['track_id'] = int(self.track_id[index])
            entries.append(entry)
        return entries

    def to_supervision(self) -> Any:
        """``supervision.KeyPoints`` of these persons.

        Where errors are known, ``data['covariance']`` is :attr:`covariance_px`, which
        supervision's ellipse annotators draw; with tracking there is ``data['track_id']``. Box
        scores are ``detection_confidence``, from supervision 0.29 on.

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
        known = inspect.signature(supervision.KeyPoints).parameters
        scores = 'keypoint_confidence' if 'keypoint_confidence' in known else 'confidence'
        fields: dict[str, Any] = {scores: self.scores.astype(np.float32)}
        if 'detection_confidence' in known:
            fields['detection_confidence'] = self.box_scores.astype(np.float32)
        covariance = self.covariance_px
        data = {'covariance': None if covariance is None else np.float32(covariance)}
        data['track_id'] = self.track_id
        data = {name: values for name, values in data.items() if values is not None}
        return supervision.KeyPoints(
            xy=self.keypoints.astype(np.float32),
            class_id=np.zeros(len(self), dtype=int),
            data=data,
            **fields,
        )


def sizes_of(boxes: np.ndarray) -> np.ndarray:
    """(N,) roots of the areas of boxes (N, 4), px, at least 1."""
    sides = np.maximum(boxes[:, 2:].astype(float) - boxes[:, :2], 1)
    return np.sqrt(sides.prod(1))


def _rounded(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """As JSON has them: NaN, of joints without calibration, is ``None``."""
    return [None if math.isnan(value) else round(float(value), 3) for value in values]
