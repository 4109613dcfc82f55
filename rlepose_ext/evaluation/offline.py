r"""COCO's keypoint evaluation of a result file, without model and images.

The numbers are those of MMPose's ``CocoMetric`` on the same file, because the same code gives
them: ``xtcocotools``, or its stand-in in ``compat/``. Scores and suppression of doubles are in the
file already; what is computed here is the matching by

.. math:: OKS = \frac{1}{|V|} \sum_{k \in V} \exp \frac{-d_k^2}{2 (2 \sigma_k)^2 a}

(V: labelled joints, d: distance in image px, a: area in px^2), and the mean precision and recall
over ten thresholds. With ``crowd`` precision is given by CrowdPose's crowd index, not by area.

Source: cocodataset.org, *Keypoint Evaluation*; Li et al., *CrowdPose: Efficient Crowded Scenes
Pose Estimation and A New Benchmark*, CVPR 2019 (the crowd index).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools.cocoeval import Params

from rlepose_ext.annotations.coco_file import is_finite
from rlepose_ext.annotations.metainfo import read_config
from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.coco_files import (
    check_annotations,
    check_results,
    has_box,
    read_json,
    read_pair,
)

NAMES = (
    'AP',
    'AP .5',
    'AP .75',
    'AP (M)',
    'AP (L)',
    'AR',
    'AR .5',
    'AR .75',
    'AR (M)',
    'AR (L)',
)
CROWD_NAMES = ('AP', 'AP .5', 'AP .75', 'AR', 'AR .5', 'AR .75', 'AP(E)', 'AP(M)', 'AP(H)')
# CrowdPose's joints: shoulders, elbows, wrists, hips, knees, ankles (left, right), head, neck.
_CROWDPOSE = (0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.079)
SIGMAS = {
    'coco': tuple(map(float, Params(iouType='keypoints').kpt_oks_sigmas)),
    'crowdpose': tuple(sigma for sigma in _CROWDPOSE for _ in range(2)),
}


def find_sigmas(name: str) -> tuple[float, ...]:
    """The fall-offs of a data set's joints.

    Args:
        name: a key of :data:`SIGMAS`; or a file: JSON with a list of numbers, or MMPose's
            metainfo of a data set, a ``.py`` with ``dataset_info``.

    Raises:
        UserError: neither, or the file cannot be read or holds no positive numbers.
    """
    if name in SIGMAS:
        return SIGMAS[name]
    path = Path(name)
    if not path.is_file():
        raise UserError(
            f'--sigmas {name}: neither a data set ({", ".join(SIGMAS)}) nor a file. Expected a '
            "JSON list with one number for each joint, or MMPose's metainfo .py of the data set."
        )
    if path.suffix == '.py':
        info = read_config(path).get('dataset_info')
        values = info.get('sigmas') if isinstance(info, Mapping) else None
    else:
        values = read_json(path, 'file of sigmas')
    numbers = values if isinstance(values, (list, tuple)) else ()
    if not numbers or not all(is_finite(number) and number > 0 for number in numbers):
        raise UserError(
            f'{path} has no list of sigmas, it gives {values!r:.60}. Expected one '
            'positive number for each joint, such as [0.026, 0.025, ...].'
        )
    return tuple(map(float, numbers))


def evaluate(
    results: Sequence[dict],
    truth: dict,
    sigmas: Sequence[float],
    crowd: bool = False,
    use_area: bool = True,
) -> dict[str, float]:
    """Average precision and recall of detections.

    Args:
        results: detections that :func:`check_results` has accepted.
        truth: annotations that :func:`check_annotations` has accepted.
        sigmas: K fall-offs.
        crowd: report by crowd index (``iou_type='keypoints_crowd'``) instead of by area.
        use_area: the annotation's area, else 0.53 of its box.

    Returns:
        :data:`NAMES` or :data:`CROWD_NAMES` to value; -1 where no person is annotated.
    """
    # Through compat: the real xtcocotools where it works, its stand-in elsewhere.
    from xtcocotools.coco import COCO
    from xtcocotools.cocoeval import COCOeval

    kind = 'keypoints_crowd' if crowd else 'keypoints'
    with contextlib.redirect_stdout(io.StringIO()):
        reader = COCO()
        # The readers write into what they are given.
        reader.dataset = {**truth, 'annotations': [dict(ann) for ann in truth['annotations']]}
        reader.createIndex()
        evaluation = COCOeval(
            reader,
            reader.loadRes(_as_read(results)),
            kind,
            np.asarray(sigmas, dtype=np.float32),  # as MMPose's metainfo has them
            use_area,
        )
        evaluation.params.useSegm = None
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = CROWD_NAMES if crowd else NAMES
    return dict(zip(names, map(float, evaluation.stats), strict=True))


def _as_read(results: Sequence[dict]) -> list[dict]:
    """Copies with the fields of keypoint results only, because ``loadRes`` guesses by fields.

    Boxes stay where all have one, as in the files of ``CocoMetric``: they give a false detection
    its size, for the AP of medium and large persons.
    """
    keys = ['image_id', 'category_id', 'keypoints', 'score']
    if all(map(has_box, results)):
        keys.append('bbox')
    return [{key: entry[key] for key in keys} for entry in results]


def evaluate_files(
    results: str | Path,
    annotations: str | Path,
    sigmas: str = 'coco',
    crowd: bool = False,
    use_area: bool = True,
) -> tuple[dict[str, float], list[str]]:
    """Read, check and evaluate.

    Args:
        results: path of the result file.
        annotations: path of the annotations.
        sigmas: as in :func:`find_sigmas`.
        crowd: as in :func:`evaluate`.
        use_area: as in :func:`evaluate`.

    Returns:
        The numbers of :func:`evaluate`, and remarks on what the files lack.

    Raises:
        UserError: a file cannot be used.
    """
    values = find_sigmas(sigmas)
    found, truth = read_pair(results, annotations)
    check_annotations(truth, len(values), str(annotations), use_area, crowd)
    images = {image['id'] for image in truth['images']}
    categories = {category['id'] for category in truth['categories']}
    check_results(found, str(results), len(values), images, categories)
    remarks = [f'{len(found)} detections on {_seen(found)} of {len(images)} images']
    silent = sum(not any(score > 0 for score in entry['keypoints'][2::3]) for entry in found)
    if silent:
        remarks.append(
            f'{silent} detections have no joint with a score above 0: xtcocotools and CocoMetric '
            'leave them out. Write 1 for joints without a score.'
        )
    return evaluate(found, truth, values, crowd, use_area), remarks


def _seen(results: Sequence[dict]) -> int:
    return len({entry['image_id'] for entry in results})
