"""``xtcocotools.coco``: the annotation reader, over :class:`pycocotools.coco.COCO`.

What it adds to pycocotools: remembers which files it was made from (``anno_file``), takes
annotations that are already in memory, keeps a subset of the joints (``test_index``), lets
``iscrowd`` default to false, accepts ids that are strings, and an empty list of results.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as maskUtils
from pycocotools.coco import COCO as _COCO

__all__ = ['COCO', 'maskUtils']

Ids = int | str | Sequence[int | str]


def _listed(ids: Ids) -> Sequence:
    """One id as a list of one; pycocotools would take a string for a list of characters."""
    return [ids] if isinstance(ids, (str, Integral)) else ids


class COCO(_COCO):
    """Annotations in COCO's format.

    Args:
        annotation_file: path of the json file, or None.
        test_index: the joints to keep of each annotation, in this order; None keeps all.
        ann_data: the content of the file, if it has been read already.
    """

    def __init__(
        self,
        annotation_file: str | None = None,
        test_index: Sequence[int] | None = None,
        ann_data: dict | None = None,
    ) -> None:
        self.anno_file = [annotation_file]
        self.test_index = test_index
        # pycocotools indexes at the end of its constructor, through our createIndex.
        super().__init__(annotation_file if ann_data is None else None)
        if ann_data is not None:
            if not isinstance(ann_data, dict):
                raise TypeError(f'ann_data must be a dict, got {type(ann_data).__name__}')
            self.dataset = ann_data
            self.createIndex()

    def createIndex(self) -> None:
        if isinstance(self.dataset, dict):
            for ann in self.dataset.get('annotations') or ():
                ann.setdefault('iscrowd', False)
                # Only the file's own annotations carry all the joints: results come in the
                # kept order already, so loadRes makes its reader without test_index.
                if self.test_index is not None and 'keypoints' in ann:
                    joints = np.array(ann['keypoints']).reshape(-1, 3)[list(self.test_index)]
                    ann['keypoints'] = joints.reshape(-1).tolist()
        super().createIndex()

    def getAnnIds(
        self,
        imgIds: Ids = (),
        catIds: Ids = (),
        areaRng: Sequence[float] = (),
        iscrowd: bool | None = None,
    ) -> list:
        if len(areaRng) == 2:
            # pycocotools leaves out an area equal to the lower bound; the real one has it in.
            areaRng = [np.nextafter(areaRng[0], -np.inf), areaRng[1]]
        return super().getAnnIds(_listed(imgIds), _listed(catIds), areaRng, iscrowd)

    def getCatIds(self, catNms: Any = (), supNms: Any = (), catIds: Ids = ()) -> list:
        return super().getCatIds(_listed(catNms), _listed(supNms), _listed(catIds))

    def getImgIds(self, imgIds: Ids = (), catIds: Ids = ()) -> list:
        return super().getImgIds(_listed(imgIds), _listed(catIds))

    def loadAnns(self, ids: Ids = ()) -> list[dict]:
        return super().loadAnns(_listed(ids))

    def loadCats(self, ids: Ids = ()) -> list[dict]:
        return super().loadCats(_listed(ids))

    def loadImgs(self, ids: Ids = ()) -> list[dict]:
        return super().loadImgs(_listed(ids))

    def loadRes(self, resFile: Any, resData: list[dict] | None = None) -> COCO:
        """Results as a reader of their own.

        Args:
            resFile: path of a json file, a list of dicts, or an array N x 7 of boxes.
            resData: the content of the file, if it has been read already.

        Returns:
            A reader whose annotations have ``area``, ``bbox`` and ids from 1 on.
        """
        if len(self.anno_file) == 1:
            self.anno_file.append(resFile)
        results = resFile if resData is None else resData
        if isinstance(results, (str, Path)):
            # CocoMetric gives a path, and a model that finds no person writes an empty list.
            results = json.loads(Path(results).read_text())
        if isinstance(results, list) and not results:
            return self._without_annotations()
        plain = super().loadRes(results)
        return self._wrap(plain.dataset)

    def _without_annotations(self) -> COCO:
        dataset = {'images': list(self.dataset['images']), 'annotations': []}
        if 'categories' in self.dataset:
            dataset['categories'] = copy.deepcopy(self.dataset['categories'])
        return self._wrap(dataset)

    @staticmethod
    def _wrap(dataset: dict) -> COCO:
        result = COCO()
        result.dataset = dataset
        result.createIndex()
        return result
