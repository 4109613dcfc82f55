"""Every data set in miniature: a few pictures in the files that a config asks for.

What a config reads is taken from the config: each data set's type (and with it the joints and
the format of its file), folders, annotation, detection and head box files, and the files of the
evaluators. Pictures show dots where the joints are. :mod:`_miniature_real` puts MMPose's own
test images in their place.

| format | whose | peculiarity |
|---|---|---|
| COCO keypoints | COCO, AIC, CrowdPose, OCHuman, WFLW, COFW, faces68, LSP, LIP | K joints |
| image info | COCO test-dev | no annotations, detected boxes only |
| list of persons | MPII | ``joints``, ``center``, ``scale`` / 200 px, head boxes in a .mat |
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

from rlepose_ext.data_paths import move_path
from rlepose_ext.models.input_size import dicts

SIDE = 160
# Pictures, and persons with labels, for training and for validation and test.
NUMBER, HELD_OUT = 4, 2
# MPII's unit of scale, in px.
PIXEL_STD = 200.0
# Their files have outlines of persons, also of those without labels.
OUTLINED = ('CocoDataset', 'CrowdPoseDataset', 'OCHumanDataset')


@dataclass(frozen=True)
class Wanted:
    """One data set of a config, its paths below the data root.

    Attributes:
        kind: name of its class.
        joints: K.
        held_out: for validation or test.
        annotations: annotation file.
        images: folder.
        boxes: file of detected boxes, if any.
        head_boxes: MPII's file of head boxes, if any.
        poses: PoseFix's file of input poses, if any.
    """

    kind: str
    joints: int
    held_out: bool
    annotations: Path
    images: Path
    boxes: Path | None = None
    head_boxes: Path | None = None
    poses: Path | None = None


def place(path: str, root: Path) -> Path:
    """Where a path of a config lies when ``RLEPOSE_DATA`` is ``root``."""
    return Path(move_path(path, str(root)))


def wanted(config: Config, root: Path) -> Iterator[Wanted]:
    """Every data set that the loaders of a config read."""
    for split in ('train', 'val', 'test'):
        for node in dicts(config.get(f'{split}_dataloader')):
            if 'ann_file' not in node or 'type' not in node:
                continue
            kind = DATASETS.get(node['type'])
            metainfo = copy.deepcopy(node.get('metainfo') or kind.METAINFO)
            if hasattr(metainfo, 'to_dict'):
                metainfo = metainfo.to_dict()
            base = node.get('data_root') or ''
            yield Wanted(
                kind=kind.__name__,
                joints=parse_pose_metainfo(metainfo)['num_keypoints'],
                held_out=split != 'train',
                annotations=place(str(Path(base, node['ann_file'])), root),
                images=place(str(Path(base, node.get('data_prefix', {}).get('img', ''))), root),
                boxes=_optional(node, 'bbox_file', root),
                head_boxes=_optional(node, 'headbox_file', root),
                poses=_optional(node, 'pose_file', root),
            )


def _optional(node: Mapping[str, Any], key: str, root: Path) -> Path | None:
    return place(node[key], root) if node.get(key) else None


def draw(config: Config, root: Path, processes: int = 1) -> None:
    """Write what a config reads and what is not there yet.

    Args:
        config: as loaded with ``RLEPOSE_DATA`` set to ``root``, or with relative paths.
        root: the data root.
        processes: that share the pictures of a training; each gets as many as one would.
    """
    last = None
    for data in wanted(config, root):
        files = (data.annotations, data.boxes, data.head_boxes)
        if not all(path is None or path.exists() for path in files):
            _draw_one(data, HELD_OUT if data.held_out else NUMBER * processes)
        if data.poses and not data.poses.exists():
            write(data.poses, input_poses(json.loads(data.annotations.read_text())))
        last = data
    for node in (config.get('val_evaluator'), config.get('test_evaluator')):
        for path in _json_files(node):
            path = place(path, root)
            if not path.exists():  # a subset of the test set
                write(path, json.loads(last.annotations.read_text()))


def _json_files(node: Any) -> Iterator[str]:
    if isinstance(node, str) and node.endswith('.json'):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _json_files(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _json_files(value)


def _draw_one(data: Wanted, count: int) -> None:
    rng = np.random.default_rng([data.joints, data.held_out])
    first = 2000 if data.held_out else 1000
    content = {
        'images': [],
        'annotations': [],
        'categories': [{'id': 1, 'name': 'person', 'keypoints': [], 'skeleton': []}],
    }
    data.images.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        name = f'{number:012d}.jpg'
        joints = np.column_stack([rng.uniform(30, 130, (data.joints, 2)), np.full(data.joints, 2)])
        joints[rng.integers(data.joints), 2] = 1  # hidden
        cv2.imwrite(str(data.images / name), picture(joints))
        size = {'width': SIDE, 'height': SIDE}
        # CrowdPose sorts its pictures by how crowded they are.
        content['images'].append({'id': number, 'file_name': name, **size, 'crowdIndex': 0.3})
        content['annotations'].append(person(number, number, joints))
    if data.boxes is not None:
        write(data.boxes, [detection(one) for one in content['annotations']])
    if data.head_boxes is not None:
        write_head_boxes(data.head_boxes, count)
    if data.kind == 'MpiiDataset':
        content = [mpii_person(one) for one in content['annotations']]
    elif is_image_info(data.annotations):
        del content['annotations']
    elif data.kind in OUTLINED:
        # One who is seen but not labelled: whoever reads whole pictures must leave him out.
        unlabelled = person(first + count, first, np.zeros((data.joints, 3)))
        content['annotations'].append({**unlabelled, 'num_keypoints': 0})
    write(data.annotations, content)


def is_image_info(path: Path) -> bool:
    """Whether a file is of COCO's test-dev kind: pictures without annotations."""
    return 'image_info' in path.name


def picture(joints: np.ndarray) -> np.ndarray:
    """Grey, with a dot of a colour of its own for each joint (K, 3), image px."""
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    for index, point in enumerate(np.round(joints[:, :2]).astype(int)):
        color = (255 * index // len(joints), 255 - 255 * index // len(joints), 40)
        cv2.circle(image, point.tolist(), 4, color, -1)
    return image


def person(number: int, image: int, joints: np.ndarray) -> dict[str, Any]:
    """A COCO annotation; with the centre and scale that the face sets have besides."""
    outline = [30.0, 30.0, 130.0, 30.0, 130.0, 130.0, 30.0, 130.0]
    return {
        'id': number,
        'image_id': image,
        'category_id': 1,
        'iscrowd': 0,
        'keypoints': np.round(joints, 1).ravel().tolist(),
        'num_keypoints': len(joints),
        'bbox': [30.0, 30.0, 100.0, 100.0],
        'area': 10000.0,
        'segmentation': [outline],
        'center': [80.0, 80.0],
        'scale': 100.0 / PIXEL_STD,
    }


def detection(one: Mapping[str, Any]) -> dict[str, Any]:
    """A detected box, where the person is."""
    return {'image_id': one['image_id'], 'category_id': 1, 'bbox': one['bbox'], 'score': 0.9}


def input_poses(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A pose of each labelled person, a few px off, in COCO's results format."""
    poses = []
    for one in content['annotations']:
        joints = np.reshape(one['keypoints'], (-1, 3)).astype(float)
        if joints[:, 2].any():
            joints += (2.0, -2.0, 0.0)
            joints[:, 2] = 0.9
            pose = {'image_id': one['image_id'], 'category_id': 1, 'score': 0.9}
            poses.append({**pose, 'keypoints': joints.ravel().tolist()})
    return poses


def mpii_person(one: Mapping[str, Any]) -> dict[str, Any]:
    """A person in MPII's form; positions count from 1."""
    joints = np.reshape(one['keypoints'], (-1, 3))
    return {
        'image': f'{one["image_id"]:012d}.jpg',
        'center': one['center'],
        'scale': one['scale'],
        'joints': (joints[:, :2] + 1).tolist(),
        'joints_vis': (joints[:, 2] > 0).astype(int).tolist(),
    }


def write_head_boxes(path: Path, persons: int) -> None:
    """MPII's ``headboxes_src``, (2 corners, 2 coordinates, persons), of 30x40 px each."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    corners = np.array([[60.0, 30.0], [90.0, 70.0]])
    savemat(path, {'headboxes_src': np.repeat(corners[..., None], persons, axis=2)})


def write(path: Path, content: Any) -> None:
    """JSON, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
