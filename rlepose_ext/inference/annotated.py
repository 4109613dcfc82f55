"""Run a top-down model on annotated images, measure it and draw it.

A check of a checkpoint within seconds: does this model, with this config, place the
joints where they are? Boxes are the annotated ones, so no detector is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmpose.apis import inference_topdown
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample, merge_data_samples
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.oks import object_keypoint_similarity
from rlepose_ext.geometry.crops import AREA_OF_BOX


@dataclass
class AnnotatedImage:
    """One image and its N annotated persons.

    Attributes:
        path: the image file.
        boxes: (N, 4) x1, y1, x2, y2 in image px.
        joints: (N, K, 2) in image px.
        labelled: (N, K), true where a joint is annotated.
    """

    path: Path
    boxes: np.ndarray
    joints: np.ndarray
    labelled: np.ndarray


def read_annotated(ann_file: str | Path, image_dir: str | Path) -> list[AnnotatedImage]:
    """The images of a COCO keypoint file that hold persons with labelled joints.

    Raises:
        UserError: the file is missing or not COCO keypoint json.
    """
    try:
        content = json.loads(Path(ann_file).read_text(encoding='utf-8'))
        names = {image['id']: image['file_name'] for image in content['images']}
        persons: dict[int, list[dict]] = {}
        for person in content['annotations']:
            if any(person['keypoints'][2::3]) and not person.get('iscrowd'):
                persons.setdefault(person['image_id'], []).append(person)
        images = []
        for image, group in persons.items():
            boxes = np.array([person['bbox'] for person in group], float)
            joints = np.array([person['keypoints'] for person in group], float)
            joints = joints.reshape(len(group), -1, 3)
            boxes[:, 2:] += boxes[:, :2]
            path = Path(image_dir) / names[image]
            images.append(AnnotatedImage(path, boxes, joints[..., :2], joints[..., 2] > 0))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f'{ann_file} cannot be read as COCO keypoint json: {type(error).__name__}: {error}. '
            'Expected "images" with id and file_name, "annotations" with image_id, bbox and '
            'keypoints (x, y, v per joint).'
        ) from error
    return images


def predict_annotated(
    model: nn.Module, images: Sequence[AnnotatedImage]
) -> list[list[PoseDataSample]]:
    """Predict every person of every image in its annotated box.

    Args:
        model: from ``mmpose.apis.init_model``; its ``cfg.model.test_cfg`` decides on the
            flip test.
        images: from :func:`read_annotated`.

    Returns:
        Per image its N samples, with ``pred_instances.keypoints`` (1, K, 2) in image px.

    Raises:
        UserError: an image file is missing.
    """
    missing = [str(image.path) for image in images if not image.path.is_file()]
    if missing:
        raise UserError(f'{len(missing)} image files do not exist, the first is {missing[0]}')
    return [inference_topdown(model, str(image.path), image.boxes) for image in images]


def mean_oks(
    images: Sequence[AnnotatedImage],
    samples: Sequence[Sequence[PoseDataSample]],
    sigmas: np.ndarray,
) -> float:
    """Mean OKS over all persons; a person's area is 0.53 times that of the box."""
    similarities = []
    for image, group in zip(images, samples, strict=True):
        predicted = np.stack([sample.pred_instances.keypoints[0] for sample in group])
        width, height = (image.boxes[:, 2:] - image.boxes[:, :2]).T
        area = AREA_OF_BOX * width * height
        similarities.append(
            object_keypoint_similarity(predicted, image.joints, image.labelled, sigmas, area)
        )
    return float(np.mean(np.concatenate(similarities)))


def draw_annotated(
    model: nn.Module,
    images: Sequence[AnnotatedImage],
    samples: Sequence[Sequence[PoseDataSample]],
    out_dir: str | Path,
    kpt_thr: float = 0.3,
) -> list[Path]:
    """Draw boxes and predicted skeletons with MMPose's visualizer.

    Args:
        model: as for :func:`predict_annotated`.
        images: from :func:`read_annotated`.
        samples: from :func:`predict_annotated`.
        out_dir: folder for the pictures.
        kpt_thr: joints with a lower score are left out.

    Returns:
        The pictures written, ``<out_dir>/<name of the image>``.
    """
    import mmcv

    visualizer = VISUALIZERS.build({**model.cfg.visualizer, 'name': 'annotated', 'line_width': 2})
    visualizer.set_dataset_meta(model.dataset_meta, skeleton_style='mmpose')
    pictures = []
    for image, group in zip(images, samples, strict=True):
        picture = Path(out_dir) / image.path.name
        visualizer.add_datasample(
            image.path.name,
            mmcv.imread(str(image.path), channel_order='rgb'),
            data_sample=merge_data_samples(list(group)),
            draw_gt=False,
            draw_bbox=True,
            kpt_thr=kpt_thr,
            out_file=str(picture),
        )
        pictures.append(picture)
    return pictures
