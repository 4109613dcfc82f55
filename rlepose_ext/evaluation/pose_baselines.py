r"""PCK beside what is had without training.

A number alone does not say whether a model of a small data set has learnt anything: where all
objects stand alike, a PCK of 0.9 may be less than nothing. Two predictors say what it is worth.
Both know the training labels and the true box of an object, and both are cheap:

- **mean pose**: :math:`\bar p_k`, the mean place of joint k in its box,
  over the labelled ones of the training set. It never looks at the image.
- **nearest neighbour**: the box is cut out, made grey, reduced to 16 x 16 and freed of brightness
  and contrast (mean 0, norm 1). The training object whose crop is nearest lends its pose. It
  looks, and does not learn.

Both poses are put into the true box: :math:`x = b_x + p_x b_w`, likewise y. All three are
measured by MMPose's ``PCKAccuracy``: the share of labelled joints that lie within ``thr`` of the
longer side of the box, averaged over joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import path

import cv2
import numpy as np
from mmengine.logging import print_log
from mmpose.evaluation.metrics import PCKAccuracy

from rlepose_ext.annotations.pose_file import read_pose_file
from rlepose_ext.errors import UserError
from rlepose_ext.registry import METRICS

_SIDE = 16  # px of a crop that is compared
_NAMES = {'mean_pose': 'the mean pose, which does not look', 'nearest': 'the nearest training crop'}
_MOST = 2000  # training objects are enough; evenly spaced ones


def mean_pose(poses: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Mean place of each joint; the middle of the box for one that is never labelled.

    Args:
        poses: (N, K, 2) in units of the box, (0, 0) its upper left corner.
        labelled: (N, K).

    Returns:
        (K, 2), likewise.
    """
    count = labelled.sum(axis=0)[:, None]
    total = np.where(labelled[..., None], poses, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), 0.5)


def crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The box of an image, small and grey.

    Args:
        image: (H, W), grey.
        box: x1, y1, x2, y2 in image px.

    Returns:
        (256,) with mean 0 and norm 1, or 0 for a uniform one.
    """
    scale = _SIDE / np.maximum(box[2:] - box[:2], 1e-6)
    matrix = np.array([[scale[0], 0, -box[0] * scale[0]], [0, scale[1], -box[1] * scale[1]]])
    # blurred first: else a reduced picture is a sample of its pixels
    blur = cv2.blur(image, tuple(int(max(1, round(1 / s))) for s in scale))
    small = cv2.warpAffine(blur, matrix, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
    small = small.astype(np.float64).ravel()
    small -= small.mean()
    return small / max(np.linalg.norm(small), 1e-9)


@METRICS.register_module()
class PoseBaselines(PCKAccuracy):
    """``PCKAccuracy``, with the same numbers of the mean pose and of the nearest neighbour.

    For ``norm_item='bbox'`` results are ``PCK``, ``PCK_mean_pose`` and ``PCK_nearest``. A model
    that is not better than both is named as such in the log.

    Args:
        ann_file: COCO keypoint json of the training set.
        img_root: folder that its file names are relative to.
        **options: of ``PCKAccuracy``: ``thr``, ``norm_item``, ``prefix``, ``collect_device``.

    Raises:
        UserError: the file has no labelled objects, or the samples have another number of joints.
    """

    def __init__(self, ann_file: str, img_root: str = '', **options) -> None:
        super().__init__(**options)
        self._source, self._root = ann_file, img_root
        self._train: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._image: tuple[str, np.ndarray] = ('', np.zeros((1, 1), np.uint8))

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        """Keep what MMPose keeps, and the poses of both predictors beside it."""
        super().process(data_batch, data_samples)
        mean, poses, crops = self._training_set()
        for result, sample in zip(self.results[-len(data_samples) :], data_samples, strict=True):
            if result['gt_coords'].shape[1] != len(mean):
                raise UserError(
                    f'PoseBaselines: {self._source} has {len(mean)} joints, the samples have '
                    f'{result["gt_coords"].shape[1]}. Give it the training set of this model.'
                )
            box = np.asarray(sample['gt_instances']['bboxes'][0], float)
            here = crop(self._grey(sample['img_path']), box)
            nearest = poses[np.argmin(((crops - here) ** 2).sum(axis=1))]
            for name, pose in zip(_NAMES, (mean, nearest), strict=True):
                result[name] = (box[:2] + pose * (box[2:] - box[:2]))[None]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The numbers of MMPose's class for all three."""
        metrics = super().compute_metrics(results)
        found = {
            name: super(PoseBaselines, self).compute_metrics(
                [{**result, 'pred_coords': result[name]} for result in results]
            )
            for name in _NAMES
        }
        for key, value in list(metrics.items()):
            others = {name: numbers[key] for name, numbers in found.items()}
            metrics |= {f'{key}_{name}': other for name, other in others.items()}
            best = max(others, key=others.get)
            if not value > others[best]:
                print_log(
                    f'{key} of the model is {value:.3f}, no better than {others[best]:.3f} of '
                    f'{_NAMES[best]}: train longer, or check labels and flip pairs.',
                    logger='current',
                    level=30,  # a warning
                )
        return metrics

    def _training_set(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean pose (K, 2), poses (N, K, 2) in units of the box, and crops (N, 256)."""
        if self._train is None:
            file = read_pose_file(self._source)
            with np.errstate(invalid='ignore'):
                used = file.labelled.any(axis=1) & (file.boxes[:, 2:] > 0).all(axis=1)
            chosen = np.flatnonzero(used & (file.image_of >= 0))
            if not len(chosen):
                raise UserError(f'PoseBaselines: {self._source} has no labelled object with a box.')
            boxes, labelled = file.boxes[chosen], file.labelled[chosen][..., None]
            poses = (file.keypoints[chosen, :, :2] - boxes[:, None, :2]) / boxes[:, None, 2:]
            mean = mean_pose(poses, labelled[..., 0])
            poses = np.where(labelled, poses, mean)  # the best guess for the others
            boxes[:, 2:] += boxes[:, :2]
            some = np.linspace(0, len(chosen) - 1, min(len(chosen), _MOST)).astype(int)
            names = [path.join(self._root, file.names[file.image_of[chosen[i]]]) for i in some]
            crops = [crop(self._grey(n), boxes[i]) for n, i in zip(names, some, strict=True)]
            self._train = mean, poses[some], np.array(crops)
        return self._train

    def _grey(self, file: str) -> np.ndarray:
        if self._image[0] != file:  # objects of one image follow each other
            image = cv2.imread(file, cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise UserError(f'PoseBaselines: {file} is no image that can be read.')
            self._image = file, image
        return self._image[1]
