"""Annotation files that are missing, damaged, of another format or of other joints.

Stock MMPose ends in a bare ``AssertionError``, ``KeyError`` or ``JSONDecodeError``, or, with 14
joints in the file and 17 in the metainfo, in an error of a codec inside a worker.
"""

from __future__ import annotations

import functools
import json
import warnings
from types import ModuleType
from typing import Any

from rlepose_ext.compat._coco_types import check_types
from rlepose_ext.compat._data_errors import DataError, missing
from rlepose_ext.compat._imports import Patch, when_imported

_DATASET = 'mmpose.datasets.datasets.base.base_coco_style_dataset'
_METRICS = ('mmpose.evaluation.metrics.coco_metric',)
_EXPECTED = (
    'a COCO keypoint file is a JSON object with the lists images, annotations and categories '
    '(such as person_keypoints_train2017.json)'
)


def check_coco(content: Any, path: str) -> None:
    """Raise unless ``content`` of file ``path`` has the shape of COCO keypoint annotations.

    What stock MMPose reads passes: a list of images alone (COCO's test-dev), annotations
    without keypoints, no categories, nested keypoints. Annotations of images that are not
    listed (a subset made by removing images) are ignored by every reader; one warning counts
    them.

    Raises:
        DataError: naming the file and its first entry that is wrong.
    """
    if not isinstance(content, dict):
        raise DataError(f'{path} holds a JSON {type(content).__name__}; {_EXPECTED}.')
    for key in ('images', 'annotations', 'categories'):
        value = content.get(key, [])
        if key == 'images' and key not in content:
            raise DataError(f'{path} has no {key!r}, it has {sorted(content)}; {_EXPECTED}.')
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise DataError(f'{key!r} in {path} is no list of objects; {_EXPECTED}.')
    check_types(content, path)
    known = {image.get('id') for image in content['images']}
    required = {'id', 'image_id'} | ({'category_id'} if 'categories' in content else set())
    orphans = []
    for number, ann in enumerate(content.get('annotations', [])):
        absent = required - set(ann)
        if absent:
            raise DataError(f'annotation number {number} in {path} has no {sorted(absent)}.')
        if ann['image_id'] not in known:
            orphans.append(ann)
            continue
        count = _count_numbers(ann.get('keypoints', []))
        if count % 3:
            raise DataError(
                f'annotation {ann["id"]} in {path} has {count} numbers in its keypoints; '
                'expected three for each joint: x, y, visibility (0, 1 or 2).'
            )
    if orphans:
        warnings.warn(
            f'{len(orphans)} of the {len(content["annotations"])} annotations in {path} are of '
            f'images that it does not list (annotation {orphans[0]["id"]} of image '
            f'{orphans[0]["image_id"]}); they are not used.',
            stacklevel=2,
        )


def _count_numbers(keypoints: list) -> int:
    """How many numbers a flat list of keypoints holds, or one with a list for each joint."""
    nested = bool(keypoints) and isinstance(keypoints[0], list)
    return sum(map(len, keypoints)) if nested else len(keypoints)


def check_joint_counts(data_list: list[dict], metainfo: dict, path: str, flips: bool) -> None:
    """Warn if an instance has another number of joints than the metainfo.

    Args:
        data_list: what a data set loaded; ``keypoints`` are N x K x 2.
        metainfo: parsed metainfo.
        path: the annotation file, for the message.
        flips: whether samples are mirrored, which needs each joint's partner.

    Raises:
        DataError: the same, where samples are mirrored; naming file, annotation and both
            numbers.
    """
    expected = metainfo.get('num_keypoints')
    for entry in data_list:
        shape = getattr(entry.get('keypoints'), 'shape', ())
        if expected is not None and len(shape) == 3 and shape[1] != expected:
            message = (
                f'annotation {entry.get("id")} of image {entry.get("img_id")} in {path} has '
                f'{shape[1]} joints, but the metainfo {metainfo.get("dataset_name")!r} has '
                f'{expected}. Give the data set the metainfo of these annotations: '
                "metainfo=dict(from_file='.../your_dataset.py'), or the `type` of data set that "
                'they were made for.'
            )
            if flips:
                raise DataError(message)
            warnings.warn(message, stacklevel=2)
            return


def _has_any(pipeline: Any, *kinds: str) -> bool:
    """Whether the pipeline has a transform of MMPose of one of these names."""
    from mmpose.datasets import transforms

    classes = tuple(getattr(transforms, kind) for kind in kinds)
    return any(isinstance(transform, classes) for transform in pipeline.transforms)


def _checked(coco_class: type) -> type:
    """The reader, refusing files that it would trip over later."""

    class CheckedCOCO(coco_class):
        def __init__(self, annotation_file=None, *args, **kwargs):
            try:
                super().__init__(annotation_file, *args, **kwargs)
            except FileNotFoundError as error:
                raise missing('annotation file', annotation_file, 'ann_file') from error
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f'annotation file {annotation_file} is not JSON ({error}). Download it '
                    'again, or unpack it first.'
                ) from error
            except (AssertionError, KeyError, TypeError, AttributeError) as error:
                # Its index stumbled; find out over what.
                with open(annotation_file) as file:
                    check_coco(json.load(file), annotation_file)
                raise DataError(
                    f'annotation file {annotation_file} cannot be read '
                    f'({type(error).__name__}: {error}); {_EXPECTED}.'
                ) from error
            if annotation_file is not None:
                check_coco(self.dataset, annotation_file)

    CheckedCOCO.__name__ = CheckedCOCO.__qualname__ = coco_class.__name__
    return CheckedCOCO


def _check_reader(module: ModuleType) -> None:
    module.COCO = _checked(module.COCO)


def _check_metric(module: ModuleType) -> None:
    _check_reader(module)
    metric = module.CocoMetric
    init = metric.__init__

    @functools.wraps(init)
    def checked_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        # Evaluation asks for them, which would be after an epoch of training.
        evaluates = self.coco is not None and not self.format_only
        if evaluates and 'categories' not in self.coco.dataset:
            path = kwargs.get('ann_file') or args[0]
            raise DataError(f"{path} has no 'categories'; {_EXPECTED}.")

    metric.__init__ = checked_init


def _guard(module: ModuleType) -> None:
    _check_reader(module)
    dataset = module.BaseCocoStyleDataset
    load_data_list, load_annotations = dataset.load_data_list, dataset._load_annotations

    @functools.wraps(load_data_list)
    def checked_load_data_list(self):
        for what, key in (('annotation file', 'ann_file'), ('detection file', 'bbox_file')):
            path = getattr(self, key)
            if (path or key == 'ann_file') and not module.exists(path):
                raise missing(what, path, f'data_root and {key}')
        data_list = load_data_list(self)
        if not data_list:
            raise DataError(
                f'annotation file {self.ann_file} holds no sample: no annotation has a labelled '
                'joint in a listed image. Expected COCO keypoint annotations, such as '
                'person_keypoints_train2017.json (instances_*.json has boxes only).'
            )
        # A converter gives samples another set of joints, and the metainfo is of that.
        if not _has_any(self.pipeline, 'KeypointConverter', 'SingleHandConverter'):
            flips = _has_any(self.pipeline, 'RandomFlip')
            check_joint_counts(data_list, self._metainfo, self.ann_file, flips)
        return data_list

    @functools.wraps(load_annotations)
    def checked_load_annotations(self):
        try:
            instances, images = load_annotations(self)
        except KeyError as error:
            raise DataError(
                f'an image or annotation in {self.ann_file} has no {error}; {_EXPECTED}, images '
                'with id, file_name, width and height.'
            ) from error
        if self.test_mode and self.data_mode == 'bottomup':
            return instances, images  # whole images are tested, with or without annotations
        annotations = self.coco.dataset.get('annotations')
        if annotations is None:
            raise DataError(f"{self.ann_file} has no 'annotations'; {_EXPECTED}.")
        if annotations and not instances and self.sample_interval == 1:
            raise DataError(
                f'none of the {len(annotations)} annotations in {self.ann_file} is of one of its '
                f'images and has both bbox and keypoints; {_EXPECTED}.'
            )
        return instances, images

    dataset.load_data_list = checked_load_data_list
    dataset._load_annotations = checked_load_annotations


def install() -> None:
    """Guard MMPose's COCO-style data sets and COCO metric once they are imported."""
    when_imported(_DATASET, _guard)
    for name in _METRICS:
        when_imported(name, _check_metric)


PATCH = Patch(
    name='annotation_errors',
    breaks='mistakes in annotation files end in bare AssertionErrors and KeyErrors',
    since='always (MMPose 1.x)',
    until='MMPose checks what it reads',
    install=install,
)
