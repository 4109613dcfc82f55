"""Persons with a pose that another model has found: what PoseFix learns from and corrects."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.structures.bbox import bbox_overlaps, bbox_xywh2xyxy
from torch import from_numpy

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.coco_files import check_results, has_box, read_json
from rlepose_ext.geometry.crops import box_around_joints
from rlepose_ext.registry import DATASETS

# Persons beside: boxes with more than this IoU.
BESIDE = 0.1
# A pose is that of an annotated person if their boxes have at least this IoU.
SAME_PERSON = 0.5


@DATASETS.register_module()
class PoseFixDataset(BaseCocoStyleDataset):
    """Annotations in COCO's format, joined with poses in COCO's results format.

    In training a sample is an annotated person. ``keypoints`` (2 + M, K, 2) are its own, those of
    its pose in ``pose_file`` (the one whose box fits best; without one, ``keypoints_visible`` is
    0 there), and those of the M persons whose boxes overlap with its own.

    In a test a sample is a pose of ``pose_file`` with a score above 0. ``keypoints`` (1, K, 2) are
    the pose and ``keypoints_visible`` the scores of its joints, ``bbox`` lies around all of them,
    see :func:`~rlepose_ext.geometry.crops.box_around_joints`, and ``bbox_score`` is the score of
    the pose.

    Args:
        pose_file: such as `rlepose posefix prepare` writes. None in training: joints without a
            label then are missing from the input pose.
        **options: of MMPose's ``CocoDataset``; ``metainfo`` is COCO's unless given.

    Raises:
        UserError: no poses in a test, poses of other images or joints or without scores, or a
            file of boxes as well.
    """

    METAINFO: dict = {'from_file': 'configs/_base_/datasets/coco.py'}

    def __init__(self, *, pose_file: str | None = None, **options: Any) -> None:
        if options.get('bbox_file'):
            raise UserError(
                f'PoseFixDataset: expected no bbox_file, got {options["bbox_file"]}. Boxes are '
                'those around the poses of pose_file; set bbox_file=None.'
            )
        if pose_file is None and options.get('test_mode'):
            raise UserError(
                'PoseFixDataset: expected a pose_file with what another model has found, got '
                'none. `rlepose posefix prepare MODEL` writes one.'
            )
        self.pose_file = pose_file
        super().__init__(**options)

    def get_data_info(self, idx: int) -> dict:
        """As MMPose's, with what :class:`SynthesizePoseErrors` reads."""
        meta = self._metainfo
        names = [meta['keypoint_id2name'][k] for k in range(meta['num_keypoints'])]
        return {**super().get_data_info(idx), 'sigmas': meta['sigmas'], 'keypoint_names': names}

    def _load_annotations(self) -> tuple[list[dict], list[dict]]:
        persons, images = super()._load_annotations()
        self._poses = self._read_poses() if self.pose_file else {}
        if not self.test_mode:
            return persons, images
        samples = []
        for image in images:
            for pose in self._poses.get(image['img_id'], ()):
                if pose['score'] > 0:
                    samples.append(_sample(len(samples), image, pose))
        return samples, images

    def _read_poses(self) -> dict[Any, list[dict]]:
        try:
            poses = read_json(self.pose_file, 'file of input poses')
        except UserError as error:
            raise UserError(f'{error} `rlepose posefix prepare MODEL` writes it.') from error
        joints = self._metainfo['num_keypoints']
        known = self.coco.getImgIds()
        check_results(poses, str(self.pose_file), joints, known, self.coco.getCatIds())
        found = defaultdict(list)
        for pose in poses:
            found[pose['image_id']].append(pose)
        return found

    def _get_topdown_data_infos(self, instance_list: list[dict]) -> list[dict]:
        if self.test_mode:
            return instance_list
        by_image = defaultdict(list)
        for person in instance_list:
            by_image[person['img_id']].append(person)
        joined = {}
        for image, persons in by_image.items():
            for person, rows in zip(persons, self._rows(image, persons), strict=True):
                joined[id(person)] = rows
        self._poses = {}  # else each worker process gets a copy
        # MMPose asks the person's own joints whether it is valid: rows come after that.
        valid = super()._get_topdown_data_infos(instance_list)
        return [{**person, **joined[id(person)]} for person in valid]

    def _rows(self, image: Any, persons: list[dict]) -> list[dict[str, np.ndarray]]:
        """Joints and visibility of each person, of its pose and of the persons beside it."""
        poses = self._poses.get(image, [])
        boxes = np.concatenate([person['bbox'] for person in persons])
        overlap = _overlaps(boxes, boxes) > BESIDE
        fits = _overlaps(boxes, np.array([_box(pose) for pose in poses]).reshape(-1, 4))
        rows = []
        for index, person in enumerate(persons):
            points, seen = np.zeros_like(person['keypoints']), person['keypoints_visible'] * 0
            if len(poses) and fits[index].max() >= SAME_PERSON:
                points = _joints(poses[fits[index].argmax()])[None, :, :2]
                seen = np.ones_like(seen)
            beside = [
                other
                for number, other in enumerate(persons)
                if overlap[index, number] and number != index and not other['iscrowd']
            ]
            all_points = [person['keypoints'], points, *(each['keypoints'] for each in beside)]
            all_seen = [person['keypoints_visible'], seen]
            all_seen += [each['keypoints_visible'] for each in beside]
            rows.append(
                {
                    'keypoints': np.concatenate(all_points).astype(np.float32),
                    'keypoints_visible': np.concatenate(all_seen).astype(np.float32),
                }
            )
        return rows


def _joints(pose: dict) -> np.ndarray:
    return np.array(pose['keypoints'], np.float32).reshape(-1, 3)


def _box(pose: dict) -> np.ndarray:
    if has_box(pose):
        return bbox_xywh2xyxy(np.array(pose['bbox'], np.float32).reshape(1, 4))[0]
    return box_around_joints(_joints(pose)[:, :2])


def _sample(number: int, image: dict, pose: dict) -> dict[str, Any]:
    joints = _joints(pose)
    return {
        'id': number,
        'img_id': image['img_id'],
        'img_path': image['img_path'],
        'category_id': pose['category_id'],
        'bbox': box_around_joints(joints[:, :2])[None],
        'bbox_score': np.array([pose['score']], np.float32),
        'keypoints': joints[None, :, :2],
        'keypoints_visible': joints[None, :, 2],
    }


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return bbox_overlaps(from_numpy(first).float(), from_numpy(second).float()).numpy()
