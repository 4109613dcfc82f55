"""The checks of :mod:`rlepose_ext.annotations`, made once when MMPose builds a data set.

Stock MMPose ends in a bare ``AssertionError``, ``KeyError`` or ``JSONDecodeError`` where a file is
wrong; here the error names file, entry and remedy. Where stock MMPose goes on with wrong data
(flip pairs that do not match, a wrong number of sigmas, boxes out of the image), there is a
warning. An image that cannot be read, or is truncated, is named when it is loaded.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rlepose_ext.imports import rebind, when_imported


def _explained(path: str, error: Exception | str) -> Exception:
    """What is wrong with an annotation file that MMPose cannot use, else what MMPose says."""
    from rlepose_ext.annotations.check import check_part
    from rlepose_ext.annotations.coco_file import EXPECTED, DataError
    from rlepose_ext.annotations.pose_file import read_pose_file
    from rlepose_ext.errors import UserError

    if isinstance(error, UserError):
        return error
    try:
        read_pose_file(path)
    except UserError as reason:
        return reason
    reasons = '; '.join(map(str, check_part('', path).problems))
    if isinstance(error, Exception):
        error = f'cannot be read ({type(error).__name__}: {error})'
    return DataError(f'annotation file {path} {error}; {reasons or EXPECTED}.')


def _guard_loading(load: Callable) -> Callable:
    @functools.wraps(load)
    def checked(self):
        from rlepose_ext.annotations.check import check_part

        try:
            loaded = load(self)
        except Exception as error:  # a reader may raise anything
            raise _explained(self.ann_file, error) from error
        # Its metainfo is not compared here: a data set may take joints from other fields too.
        report = check_part('', self.ann_file, content=self.coco.dataset, images_only=True)
        for warning in report.pose_file.warnings if report.pose_file else ():
            _warn(warning)
        if report.problems:
            _warn(f'{self.ann_file}: {"; ".join(map(str, report.problems))}')
        return loaded

    return checked


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _guard_dataset(module: ModuleType) -> None:
    dataset = module.BaseCocoStyleDataset
    load_data_list = dataset.load_data_list
    for name in ('_load_annotations', '_load_detection_results'):
        setattr(dataset, name, _guard_loading(getattr(dataset, name)))

    @functools.wraps(load_data_list)
    def checked(self):
        from rlepose_ext.annotations.check import wrong_joint_count
        from rlepose_ext.annotations.coco_file import DataError, missing

        for what, key in (('annotation file', 'ann_file'), ('detection file', 'bbox_file')):
            path = getattr(self, key)
            if (path or key == 'ann_file') and not module.exists(path):
                raise missing(what, path, f'data_root and {key}')
        data_list = load_data_list(self)
        if not data_list:
            none = 'nothing in it is of a listed image, with bbox and a labelled joint'
            boxes = ' (or the detected boxes are none)' if self.bbox_file else ''
            raise _explained(self.ann_file, f'holds no sample: {none}{boxes}')
        # A converter gives samples another set of joints, and the metainfo is of that.
        if not _has(self, 'KeypointConverter', 'SingleHandConverter'):
            wrong = wrong_joint_count(data_list, self._metainfo, self.ann_file)
            if wrong and _has(self, 'RandomFlip'):  # which needs each joint's partner
                raise DataError(wrong)
            if wrong:
                _warn(wrong)
        return data_list

    dataset.load_data_list = checked


def _has(dataset: Any, *kinds: str) -> bool:
    """Whether its pipeline has a transform of MMPose of one of these names."""
    from mmpose.datasets import transforms

    classes = tuple(getattr(transforms, kind) for kind in kinds)
    return any(isinstance(transform, classes) for transform in dataset.pipeline.transforms)


def _guard_metric(module: ModuleType) -> None:
    metric = module.CocoMetric
    init = metric.__init__

    @functools.wraps(init)
    def checked(self, ann_file=None, *args, **kwargs):
        from rlepose_ext.annotations.coco_file import EXPECTED, DataError, check_coco

        try:
            init(self, ann_file, *args, **kwargs)
        except Exception as error:
            if ann_file is None or hasattr(self, 'coco'):
                raise  # of another argument
            raise _explained(ann_file, error) from error
        if self.coco is None:
            return
        check_coco(self.coco.dataset, ann_file)
        # Evaluation asks for them, which would be after an epoch of training.
        if not self.format_only and 'categories' not in self.coco.dataset:
            raise DataError(f"{ann_file} has no 'categories'; {EXPECTED}.")

    metric.__init__ = checked


def _guard_metainfo(module: ModuleType) -> None:
    original = module.parse_pose_metainfo

    @functools.wraps(original)
    def parse_pose_metainfo(metainfo: dict) -> dict:
        from rlepose_ext.annotations.coco_file import DataError
        from rlepose_ext.annotations.metainfo import problems_of

        try:
            parsed = original(metainfo)
        except FileNotFoundError:
            raise  # it names the file
        except Exception as error:
            raise DataError('; '.join(problems_of(metainfo)) or str(error)) from error
        for problem in problems_of(metainfo):
            _warn(problem)
        return parsed

    rebind(original, parse_pose_metainfo, 'mmpose')


def _guard_images(module: ModuleType) -> None:
    load_image = module.LoadImage
    original = load_image.transform

    @functools.wraps(original)
    def transform(self, results):
        from rlepose_ext.annotations.coco_file import DataError
        from rlepose_ext.annotations.images import REMEDY, TruncatedImageError, check_image_file

        # Loaded already, or the user asked for bad images to be left out.
        if 'img' in results or self.ignore_empty:
            return original(self, results)
        path = results['img_path']
        backend = (self.backend_args or {}).get('backend', 'local')
        truncated = None
        try:
            if backend == 'local' and '://' not in str(path):
                check_image_file(path)
        except TruncatedImageError as error:
            truncated = error
        try:
            results = original(self, results)
        except Exception as error:
            raise truncated or DataError(
                f'image {path} cannot be read as an image ({type(error).__name__}: {error}). If it '
                f'is there, it is corrupt or no image. {REMEDY}'
            ) from error
        if truncated is not None:
            _warn(str(truncated))
        return results

    load_image.transform = transform


def install() -> None:
    """Guard each module of MMPose once it is imported."""
    when_imported('mmpose.datasets.datasets.base.base_coco_style_dataset', _guard_dataset)
    when_imported('mmpose.evaluation.metrics.coco_metric', _guard_metric)
    when_imported('mmpose.datasets.datasets.utils', _guard_metainfo)
    when_imported('mmpose.datasets.transforms.loading', _guard_images)
