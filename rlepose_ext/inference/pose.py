"""Poses in one line of Python, from any source to results.

    from rlepose_ext import Pose

    pose = Pose()
    pose('street.jpg')[0].save('drawn.jpg')
    for result in pose('street.mp4', stream=True):
        print(result.frame, result.keypoints.shape)

What runs is chosen by :mod:`.choose`, and runs in :mod:`.engine`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rlepose_ext.errors import UserError
from rlepose_ext.inference.choose import PRESETS, choose
from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.engine import Engine, Options
from rlepose_ext.inference.sources import Source, find_sources, name_apart
from rlepose_ext.inference.types import PoseResult


class Pose:
    """Finds persons and their joints in pictures and videos.

    Args:
        model: a preset (``'fast'``, ``'balanced'``, ``'best'``), the name of a model of the zoo or
            of MMPose (``'rtmpose-m'``, ``'human'``, ``'movenet-multipose'``), or a config file; by
            default the best of what is on this machine, see :mod:`.choose`.
        checkpoint: of a config; by default the public one.
        detector: a name (``'rtmdet-m'``, ``'movenet-multipose'``, ``'full'``), a JSON file of
            boxes, or config and checkpoint of mmdet. Bottom-up and one-stage models need none.
        device: ``'auto'`` is the first GPU if there is one, else the CPU.
        bbox_thr: lowest score of a person's box; by default the detector's own.
        nms_thr: largest IoU of two boxes; by default the detector's own.
        refine: config and checkpoint of ``configs/posefix``, which corrects the poses.
        **options: of :class:`.estimator.PoseEstimator`: ``batch_size``, ``flip_test``, ``dtype``.

    Attributes:
        predictor: what runs, see :mod:`.predictors`.
        chosen: a line that says what runs, and why.

    Raises:
        UserError: an unknown name, files that do not fit, or weights that cannot be had.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        checkpoint: str | Path | None = None,
        detector: str | Path | Sequence[str | Path] | None = None,
        device: str = 'auto',
        bbox_thr: float | None = None,
        nms_thr: float | None = None,
        refine: str | Path | Sequence[str | Path] | None = None,
        **options: Any,
    ) -> None:
        preset = model if model in PRESETS else None
        pose = None
        if model is not None and preset is None:
            pose = [str(model)] + ([] if checkpoint is None else [str(checkpoint)])
        if isinstance(detector, (str, Path)):
            detector = [detector]
        if isinstance(refine, (str, Path)):
            refine = [refine]
        choice = choose(
            detector and [str(each) for each in detector],
            pose,
            preset,
            device=device,
            bbox_thr=bbox_thr,
            nms_thr=nms_thr,
            refine=refine and [str(each) for each in refine],
            **options,
        )
        self.predictor, self.chosen = choice.predictor, choice.why

    def __repr__(self) -> str:
        return f'<Pose: {self.chosen}>'

    def __call__(
        self,
        source: Any,
        stream: bool = False,
        boxes: Any = None,
        output_root: str | Path | None = None,
        save: str | Sequence[str] = 'image',
        save_predictions: bool = False,
        nested: bool = False,
        vid_stride: int = 1,
        start: float | None = None,
        end: float | None = None,
        track: str | None = None,
        smooth: bool = False,
        det_interval: int = 1,
        **style: Any,
    ) -> list[PoseResult] | Iterator[PoseResult]:
        """Poses of every picture, and of every frame of a video.

        Args:
            source: path of an image or a video, folder, pattern, URL, camera, array (H, W, 3) BGR,
                PIL image, or a list of these; an array (N, H, W, 3) is a list. Of several files
                one that cannot be read is a warning.
            stream: give results one by one, as they come, instead of a list of all of them. A list
                keeps every frame in memory.
            boxes: (N, 4) x1, y1, x2, y2 in image px, in place of a detector; of one picture.
            output_root: folder for what is written; nothing is without it.
            save: of ``'image'``, ``'crops'``, ``'txt'`` and ``'csv'``, see :mod:`.exports`.
            save_predictions: JSON files there too.
            nested: folders inside folders too.
            vid_stride: every so many frames of a video.
            start: where in a video to begin, seconds.
            end: where to end, seconds.
            track: ``'bytetrack'``, ``'iou'`` or ``'oks'`` gives the persons of a video identities.
            smooth: filter tracked joints, so that they do not tremble at rest.
            det_interval: the detector sees every so many frames of a video.
            **style: fields of :class:`.drawing.Style`, for what is drawn.

        Raises:
            UserError: a source that is not there, is none of these, or cannot be read.
        """
        if boxes is not None:
            return [self._in_boxes(source, boxes)]
        options = Options(
            output_root=None if output_root is None else Path(output_root),
            save=[save] if isinstance(save, str) else list(save),
            save_predictions=save_predictions,
            vid_stride=vid_stride,
            start=start,
            end=end,
            style=Style(**style),
            tracking=track,
            smooth=smooth,
            det_interval=det_interval,
        )
        results = self._run(name_apart(_sources(source, nested)), options)
        return results if stream else list(results)

    def _run(self, sources: Sequence[Source], options: Options) -> Iterator[PoseResult]:
        for each in sources:
            try:
                yield from Engine(self.predictor, options).stream(each)
            except UserError as error:
                if len(sources) == 1 or each.image is not None:
                    raise
                warnings.warn(str(error), stacklevel=3)

    def _in_boxes(self, source: Any, boxes: Any) -> PoseResult:
        estimator = getattr(self.predictor, 'estimator', None)
        if estimator is None:
            raise UserError('boxes: this model finds all persons by itself')
        return estimator(source, boxes)


def _sources(source: Any, nested: bool) -> Iterable[Source]:
    if isinstance(source, (list, tuple)) or (isinstance(source, np.ndarray) and source.ndim == 4):
        for index, each in enumerate(source):
            for found in _sources(each, nested):
                yield found if found.image is None else _in_memory(found.image, index)
    elif isinstance(source, (np.ndarray, Image.Image)):
        yield _in_memory(source, 0)
    elif isinstance(source, (str, Path, int)):
        yield from find_sources(str(source), nested)
    else:
        raise UserError(
            f'source: expected a path, an address, the number of a camera, an array, a PIL image, '
            f'or a list of these, got a {type(source).__name__}'
        )


def _in_memory(image: Any, index: int) -> Source:
    return Source('image', Path(f'image{index}.jpg'), image)
