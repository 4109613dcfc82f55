r"""``xtcocotools.cocoeval``: COCO's evaluation for more kinds of keypoints.

Matching, interpolation and the similarity

.. math:: OKS = \frac{1}{|V|} \sum_{k \in V} \exp \frac{-d_k^2}{2 (2 \sigma_k)^2 a}

(V: the labelled joints, d: distance in image px, a: area in px^2) are those of pycocotools.
What differs from it, for every type of keypoints:

- the sigmas are an argument, any number of joints;
- with ``use_area=False`` the area is 0.53 times that of the box (CrowdPose, AIC: no areas);
- a person is left out if no joint is labelled, counted in the keypoints themselves
  (``keypoints_crowd``: if the annotation's ``num_keypoints`` is 0);
- a detection whose joints all have score 0 is dropped;
- an annotation with id 0 can be matched (pycocotools takes it for "no match").

Types of whole-body keypoints take another field of the annotations, and that part's score
where the detection has one. ``keypoints_crowd`` reports the AP by CrowdPose's crowd index
instead of by area.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections import defaultdict

import numpy as np
from pycocotools import mask as maskUtils
from pycocotools.cocoeval import COCOeval as _COCOeval
from pycocotools.cocoeval import Params

from rlepose_ext.errors import UserError

__all__ = ['COCOeval', 'Params', 'maskUtils']

_BODY = ('keypoints',)
_WHOLE = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts')
# Type of evaluation -> (fields of an annotation that are joined, name of the part's score).
_FIELDS = {
    'keypoints': (_BODY, 'score'),
    'keypoints_crowd': (_BODY, 'score'),
    'keypoints_body': (_BODY, 'score'),
    'keypoints_foot': (('foot_kpts',), 'foot_score'),
    'keypoints_face': (('face_kpts',), 'face_score'),
    'keypoints_lefthand': (('lefthand_kpts',), 'lefthand_score'),
    'keypoints_righthand': (('righthand_kpts',), 'righthand_score'),
    'keypoints_wholebody': (_WHOLE, 'wholebody_score'),
}
_BOX_SHARE = 0.53  # area of a person's segment in its box, on average over COCO
_EASY, _HARD = 0.2, 0.8  # CrowdPose: easy below the first, hard from the second on
_MAX_DETS = 20

# What summarize() reports: name, precision or recall, OKS threshold, range of areas.
_KEYPOINT_STATS = (
    ('AP', 'precision', None, 'all'),
    ('AP .5', 'precision', 0.5, 'all'),
    ('AP .75', 'precision', 0.75, 'all'),
    ('AP (M)', 'precision', None, 'medium'),
    ('AP (L)', 'precision', None, 'large'),
    ('AR', 'recall', None, 'all'),
    ('AR .5', 'recall', 0.5, 'all'),
    ('AR .75', 'recall', 0.75, 'all'),
    ('AR (M)', 'recall', None, 'medium'),
    ('AR (L)', 'recall', None, 'large'),
)
_CROWD_STATS = tuple(row for row in _KEYPOINT_STATS if row[3] == 'all')
_CROWD_NAMES = ('AP(E)', 'AP(M)', 'AP(H)')
_BOX_NAMES = ('AP', 'AP .5', 'AP .75', 'AP (S)', 'AP (M)', 'AP (L)')
_BOX_NAMES += ('AR 1', 'AR 10', 'AR 100', 'AR (S)', 'AR (M)', 'AR (L)')


class COCOeval(_COCOeval):
    """Average precision and recall of detections against annotations.

    Args:
        cocoGt: annotations, a :class:`COCO`.
        cocoDt: detections, of ``cocoGt.loadRes``.
        iouType: ``'keypoints'``, ``'keypoints_crowd'``, ``'keypoints_body'``, ``_foot``,
            ``_face``, ``_lefthand``, ``_righthand``, ``_wholebody``; ``'bbox'`` and
            ``'segm'`` are those of pycocotools.
        sigmas: K fall-offs, one for each joint; None means COCO's 17.
        use_area: take the annotation's ``area``, in px^2; else 0.53 times the box.

    Raises:
        ValueError: ``iouType`` is none of these.
        UserError: while evaluating, if an annotation lacks a field or its number of joints
            differs from the number of sigmas.
    """

    def __init__(self, cocoGt=None, cocoDt=None, iouType='keypoints', sigmas=None, use_area=True):
        if iouType not in _FIELDS and iouType not in ('bbox', 'segm'):
            raise ValueError(f'iouType {iouType!r} is none of {[*_FIELDS, "bbox", "segm"]}')
        # pycocotools knows one type of keypoints only.
        super().__init__(cocoGt, cocoDt, 'keypoints' if iouType in _FIELDS else iouType)
        self.params.iouType = iouType
        if sigmas is None:
            sigmas = Params(iouType='keypoints').kpt_oks_sigmas
        self.sigmas = np.asarray(sigmas, dtype=np.float64)
        self.use_area = use_area
        self.score_key = _FIELDS[iouType][1] if iouType in _FIELDS else 'score'
        if cocoGt is not None:
            self.anno_file = getattr(cocoGt, 'anno_file', [None])

    @property
    def stats_names(self) -> list[str]:
        """Names of the entries of ``stats``, in their order."""
        kind = self.params.iouType
        if kind == 'keypoints_crowd':
            return [row[0] for row in _CROWD_STATS] + list(_CROWD_NAMES)
        return [row[0] for row in _KEYPOINT_STATS] if kind in _FIELDS else list(_BOX_NAMES)

    # -- what is compared ---------------------------------------------------------------

    def _prepare(self) -> None:
        """Fill ``_gts`` and ``_dts`` with what pycocotools shall see of each person.

        These are copies: joints of the part, its score, the area that counts, and ids that
        begin at 1, because pycocotools marks "no match" with 0.
        """
        if self.params.iouType in _FIELDS:
            self._select_keypoints()
        else:
            super()._prepare()
        for key, gts in self._gts.items():
            self._gts[key] = [{**gt, 'id': gt['id'] + 1, 'area': self._area(gt)} for gt in gts]
        for key, dts in self._dts.items():
            self._dts[key] = [{**dt, 'id': dt['id'] + 1} for dt in dts]

    def _select_keypoints(self) -> None:
        p = self.params
        wanted = {'imgIds': p.imgIds, 'catIds': p.catIds if p.useCats else []}
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        self.evalImgs, self.eval = defaultdict(list), {}
        for gt in self.cocoGt.loadAnns(self.cocoGt.getAnnIds(**wanted)):
            joints = self._joints(gt, 'annotation')
            if p.iouType == 'keypoints_crowd':
                # CrowdPose counts its joints without head and neck, so it is not the same number.
                labelled = gt['num_keypoints']
            else:
                labelled = np.count_nonzero(joints[2::3] > 0)
            ignore = labelled == 0 or bool(gt.get('iscrowd', 0))
            self._gts[gt['image_id'], gt['category_id']].append(
                {**gt, 'keypoints': joints, 'ignore': ignore, 'iscrowd': gt.get('iscrowd', 0)}
            )
        for dt in self.cocoDt.loadAnns(self.cocoDt.getAnnIds(**wanted)):
            joints = self._joints(dt, 'detection')
            if np.any(joints[2::3] > 0):
                score = dt.get(self.score_key, dt['score'])
                self._dts[dt['image_id'], dt['category_id']].append(
                    {**dt, 'keypoints': joints, 'score': score}
                )

    def _joints(self, ann: dict, role: str) -> np.ndarray:
        """Joints of the part that is evaluated, flat: x, y (image px), visibility or score."""
        where = f'{role} {ann["id"]} of image {ann["image_id"]} ({self._source(role)})'
        fields, _ = _FIELDS[self.params.iouType]
        absent = [field for field in fields if field not in ann]
        if absent:
            raise UserError(
                f'{where} has no {absent}, which {self.params.iouType!r} is computed from. Use '
                'an annotation file that has them, or another iou_type.'
            )
        joints = np.concatenate([np.asarray(ann[field], dtype=np.float64) for field in fields])
        if joints.size != 3 * len(self.sigmas):
            raise UserError(
                f'{where} has {joints.size} numbers for its joints; {len(self.sigmas)} sigmas '
                f'need {3 * len(self.sigmas)} (x, y, visibility of each). Set the metainfo of '
                'the dataset to the one that the annotations were made for.'
            )
        return joints

    def _source(self, role: str) -> str:
        files = self.anno_file
        position = 0 if role == 'annotation' else 1
        known = len(files) > position and isinstance(files[position], str)
        return files[position] if known else 'given in memory'

    def _area(self, gt: dict) -> float:
        if self.use_area and 'area' in gt:
            return gt['area']
        if self.use_area and self.params.iouType in _FIELDS:
            raise UserError(
                f'annotation {gt["id"]} of image {gt["image_id"]} ({self._source("annotation")}) '
                "has no 'area'. Add it, or set use_area=False in the metric."
            )
        return gt['bbox'][2] * gt['bbox'][3] * _BOX_SHARE

    # -- evaluation ---------------------------------------------------------------------

    def evaluate(self) -> None:
        p = self.params
        if p.iouType not in _FIELDS or p.useSegm is not None:
            super().evaluate()
            return
        print(f'Evaluating *{p.iouType}* for each image...')
        p.imgIds = list(np.unique(p.imgIds))
        p.catIds = list(np.unique(p.catIds)) if p.useCats else p.catIds
        p.maxDets = sorted(p.maxDets)
        categories = p.catIds if p.useCats else [-1]
        self._prepare()
        self.ious = {(i, c): self.computeOks(i, c) for i in p.imgIds for c in categories}
        self.evalImgs = [
            self.evaluateImg(image, category, area, p.maxDets[-1])
            for category in categories
            for area in p.areaRng
            for image in p.imgIds
        ]
        self._paramsEval = copy.deepcopy(p)

    def computeOks(self, imgId, catId):
        self.params.kpt_oks_sigmas = np.asarray(self.sigmas)
        return super().computeOks(imgId, catId)

    def evaluateImg(self, imgId, catId, aRng, maxDet) -> dict | None:
        found = super().evaluateImg(imgId, catId, aRng, maxDet)
        if found is not None:
            # Back to the ids of the files; -1 is "no match".
            for key in ('dtMatches', 'gtMatches'):
                found[key] = found[key].astype(np.int64) - 1
            for key in ('dtIds', 'gtIds'):
                found[key] = [number - 1 for number in found[key]]
        return found

    def accumulate(self, p: Params | None = None) -> None:
        kept = self.evalImgs
        self.evalImgs = [
            image and {**image, 'dtMatches': image['dtMatches'] >= 0} for image in kept
        ]
        try:
            super().accumulate(p)
        finally:
            self.evalImgs = kept

    # -- report -------------------------------------------------------------------------

    def summarize(self) -> None:
        if self.params.iouType not in _FIELDS:
            super().summarize()
            return
        if not self.eval:
            raise RuntimeError('call accumulate() before summarize()')
        crowd = self.params.iouType == 'keypoints_crowd'
        stats = [self._mean(*row) for row in (_CROWD_STATS if crowd else _KEYPOINT_STATS)]
        if crowd:
            levels = self.get_type_result(first=_EASY, second=_HARD)
            for level, value in zip(('easy', 'medium', 'hard'), levels, strict=True):
                self._report('precision', None, f'type={level:>6s}', value)
            stats += levels
        self.stats = np.array(stats)

    def _mean(self, name: str, kind: str, threshold: float | None, area: str) -> float:
        """Mean over thresholds (and recalls), -1 where nothing was to be found."""
        p = self.params
        table = self.eval[kind][..., p.areaRngLbl.index(area), p.maxDets.index(_MAX_DETS)]
        if threshold is not None:
            table = table[np.isclose(p.iouThrs, threshold)]
        valid = table[table > -1]
        value = float(valid.mean()) if valid.size else -1.0
        self._report(kind, threshold, f'area={area:>6s}', value)
        return value

    def _report(self, kind: str, threshold: float | None, what: str, value: float) -> None:
        thresholds = self.params.iouThrs
        low_high = f'{thresholds[0]:0.2f}:{thresholds[-1]:0.2f}'
        iou = low_high if threshold is None else f'{threshold:0.2f}'
        title, short = f'Average {kind.capitalize()}', {'precision': 'AP', 'recall': 'AR'}[kind]
        print(
            f' {title:<18} ({short}) @[ IoU={iou:<9} | {what} | maxDets={_MAX_DETS:>3d} ]'
            f' = {value: 0.3f}'
        )

    def get_type_result(self, first: float = 0.01, second: float = 0.85) -> list[float]:
        """AP of the images with a crowd index below ``first``, below ``second``, and above.

        Rounded to 4 digits; -1 where there is no such image.

        Raises:
            UserError: an image has no ``crowdIndex``.
        """
        levels: tuple[list, list, list] = ([], [], [])
        for image in self.cocoGt.dataset['images']:
            if 'crowdIndex' not in image:
                raise UserError(
                    f"image {image['id']} in {self._source('annotation')} has no 'crowdIndex', "
                    "which iou_type 'keypoints_crowd' needs; use CrowdPose's files or "
                    "iou_type='keypoints'."
                )
            levels[sum(image['crowdIndex'] >= limit for limit in (first, second))].append(
                image['id']
            )
        results = []
        for images in levels:
            part = COCOeval(
                self.cocoGt, self.cocoDt, self.params.iouType, self.sigmas, self.use_area
            )
            part.params = copy.deepcopy(self.params)
            part.params.imgIds = images
            with contextlib.redirect_stdout(io.StringIO()):
                part.evaluate()
                part.accumulate()
            # The benchmark's own rule: no precision of -1 is left out of this mean.
            results.append(round(float(np.mean(part.eval['precision'][:, :, :, 0, :])), 4))
        return results
