"""Poses in one line of Python, from any source to results.

    from rlepose_ext import Pose

    pose = Pose()
    pose('street.jpg')[0].save('drawn.jpg')
    for result in pose('street.mp4', stream=True):
        print(result.frame, result.keypoints.shape)

What runs is chosen by :mod:`.choose`, and runs in :mod:`.engine`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlepose_ext.errors import UserError
from rlepose_ext.inference import arguments
from rlepose_ext.inference.boxes import as_boxes
from rlepose_ext.inference.choose import PRESETS, choose
from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.engine import Engine, Options
from rlepose_ext.inference.following import Following
from rlepose_ext.inference.predictors import Predictor, with_detector
from rlepose_ext.inference.sources import Source, find_sources, is_list
from rlepose_ext.inference.types import PoseResult

if TYPE_CHECKING:
    from rlepose_ext.inference.detectors import Detector


class Pose:
    """Finds persons and their joints in pictures and videos.

    Args:
        model: a preset (``'fast'``, ``'balanced'``, ``'best'``), the name of a model of the zoo or
            of MMPose (``'rtmpose-m'``, ``'human'``, ``'movenet-multipose'``), or a config file; by
            default the best of what is on this machine, see :mod:`.choose`.
        checkpoint: of a config or a name; by default the public one.
        detector: a name (``'rtmdet-m'``, ``'movenet-multipose'``, ``'full'``), a JSON file of
            boxes, or config and checkpoint of mmdet. Bottom-up and one-stage models need none.
        device: ``'auto'`` is the first GPU if there is one, else the CPU.
        bbox_thr: lowest score of a person's box, 0 to 1; by default the detector's own.
        nms_thr: largest IoU of two boxes, 0 to 1; by default the detector's own.
        refine: config and checkpoint of ``configs/posefix``, which corrects the poses.
        **options: ``category`` and ``video`` of :func:`.choose.choose`; of
            :class:`.estimator.PoseEstimator` ``batch_size``, ``flip_test``, ``dtype``, ``fast`` and
            ``cfg_options``.

    Attributes:
        predictor: what runs, see :mod:`.predictors`.
        chosen: a line that says what runs, and why.

    Raises:
        UserError: an unknown name, files that do not fit, weights that cannot be had, or a number
            out of its range.
    """

    _following: Following | None = None
    _overlap: float | None = Options.overlap

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
        arguments.check_names('Pose(...)', options, _OF_MODEL, {'pose(...)': _OF_CALL})
        preset = model if model in PRESETS else None
        pose = None
        if model is not None and preset is None:
            pose = [str(model)] + ([] if checkpoint is None else [str(checkpoint)])
        elif checkpoint is not None:
            raise UserError(
                'checkpoint: expected the config or the name of its model before it, as in '
                f"Pose('config.py', '{checkpoint}'), got "
                + (f'the preset {preset}' if preset else 'no model')
            )
        if isinstance(detector, (str, Path)):
            detector = [detector]
        if isinstance(refine, (str, Path)):
            refine = [refine]
        choice = choose(
            detector and [str(each) for each in detector],
            pose,
            preset,
            device=device,
            bbox_thr=arguments.read('bbox_thr', arguments.share, bbox_thr),
            nms_thr=arguments.read('nms_thr', arguments.share, nms_thr),
            refine=refine and [str(each) for each in refine],
            **options,
        )
        self.predictor, self.chosen = choice.predictor, choice.why
        if choice.caution:
            warnings.warn(choice.caution, stacklevel=2)
        if nms_thr is not None:
            self._overlap = None

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
        start: float | str | None = None,
        end: float | str | None = None,
        track: str | None = None,
        smooth: bool = False,
        det_interval: int = 1,
        persist: bool | None = None,
        **style: Any,
    ) -> list[PoseResult] | Iterator[PoseResult]:
        """Poses of every picture, and of every frame of a video.

        Args:
            source: path of an image or a video, folder, pattern, URL, camera, array (H, W, 3) BGR,
                PIL image, or a list of these; an array (N, H, W, 3) is a list. Of several files
                one that cannot be read is a warning.
            stream: give results one by one, as they come, instead of a list of all of them. A list
                keeps every frame in memory.
            boxes: (N, 4) x1, y1, x2, y2 in image px, in place of a detector; of several pictures,
                a list of those. ``None`` in it is the whole picture. Videos have none.
            output_root: folder for what is written; nothing is without it.
            save: of ``'image'``, ``'crops'``, ``'txt'`` and ``'csv'``, see :mod:`.exports`.
            save_predictions: JSON files there too.
            nested: folders inside folders too.
            vid_stride: every so many frames of a video.
            start: where in a video to begin, seconds or ``'h:m:s'``.
            end: where to end, likewise.
            track: ``'bytetrack'``, ``'iou'`` or ``'oks'`` gives the persons of a video identities.
                Arrays and PIL images are then the frames of one video, one after the other.
            smooth: filter tracked joints, so that they do not tremble at rest; those of arrays as
                of 25 frames a second.
            det_interval: the detector sees every so many frames of a video file.
            persist: of arrays, with ``track``: true goes on with the persons of the call before,
                false begins another video. A single frame needs one of them.
            **style: fields of :class:`.drawing.Style`, for what is drawn.

        Raises:
            UserError: a source that is not there, is none of these, or cannot be read; arguments
                that are unknown, out of their range, or do not go together.
        """
        arguments.check_names('pose(...)', style, _OF_CALL, {'Pose(...)': _OF_MODEL})
        options = Options(
            output_root=arguments.read('output_root', arguments.folder, output_root),
            save=save if isinstance(save, (list, tuple, set)) else [save],
            save_predictions=save_predictions,
            vid_stride=vid_stride,
            start=arguments.read('start', arguments.seconds, start),
            end=arguments.read('end', arguments.seconds, end),
            style=Style(**style),
            tracking=arguments.read('track', arguments.method, track),
            overlap=self._overlap,
            smooth=smooth,
            det_interval=det_interval,
        )
        first = self._following.count if persist and self._following else 0
        sources = find_sources(source, nested, first)
        following = self._follow(sources, options, persist)
        predictors = [self.predictor] * len(sources)
        if boxes is not None:
            one = len(sources) == 1 and not is_list(source)
            predictors = self._in_boxes(sources, [boxes] if one else boxes)
        results = self._run(sources, predictors, options, following)
        return results if stream else list(results)

    def _run(
        self,
        sources: Sequence[Source],
        predictors: Sequence[Predictor],
        options: Options,
        following: Following | None,
    ) -> Iterator[PoseResult]:
        for each, predictor in zip(sources, predictors, strict=True):
            in_memory = each.image is not None
            engine = Engine(predictor, options, following=following if in_memory else None)
            try:
                found = each.resolve()
                if predictor is not self.predictor and found.kind != 'image':
                    raise UserError(
                        f'boxes: expected pictures, got the video {found.label}: give a JSON file '
                        'of boxes of its frames to Pose(..., detector=)'
                    )
                yield from engine.stream(found)
            except UserError as error:
                if len(sources) == 1 or in_memory:
                    raise
                warnings.warn(str(error), stacklevel=3)

    def _in_boxes(self, sources: Sequence[Source], boxes: Any) -> list[Predictor]:
        """For each source the predictor behind a detector that knows its boxes."""
        count = len(boxes) if hasattr(boxes, '__len__') else 0
        if count != len(sources):
            raise UserError(
                f'boxes: expected a list with (N, 4) for each of {len(sources)} pictures, got '
                f'{count}'
            )
        return [
            with_detector(self.predictor, _given(own, f'boxes of {each.label}'))
            for each, own in zip(sources, boxes, strict=True)
        ]

    def _follow(
        self, sources: Sequence[Source], options: Options, persist: bool | None
    ) -> Following | None:
        """What follows the persons of frames in memory; nothing without tracking."""
        if not sources:
            return None
        frames = sum(each.image is not None for each in sources)
        if persist is not None and (options.tracking is None or not frames):
            raise UserError(
                'persist: expected frames as arrays, with track=, got '
                + ('files, which have all their frames' if not frames else 'no track')
            )
        if options.tracking is None:
            return None
        if frames == 1 and persist is None:
            raise UserError(
                'track: expected frames that follow each other, got one picture: give the video, '
                'a list of its frames, or with each frame persist=True, which goes on with the '
                'persons of the call before'
            )
        if not frames:
            if all(each.kind == 'image' for each in sources):
                raise UserError(
                    'track: expected a video, or its frames as arrays, got files of pictures: '
                    'leave track out, or read them'
                )
            return None
        settings = options.tracking, options.overlap, options.smooth
        if not (persist and self._following and self._following.settings == settings):
            self._following = Following(self.predictor, *settings)
        return self._following


def _given(boxes: Any, what: str) -> Detector:
    """A detector that finds these boxes, in one picture."""
    boxes = None if boxes is None else as_boxes(boxes, what)
    return lambda frames, names: [(boxes, None)]


def _names(function: Callable[..., Any]) -> list[str]:
    """Of its arguments."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    parameters = inspect.signature(function).parameters
    return [name for name, each in parameters.items() if each.kind in kinds and name != 'self']


_OF_MODEL = _names(Pose.__init__)
_OF_MODEL += ['category', 'video', 'batch_size', 'flip_test', 'dtype', 'fast', 'cfg_options']
_OF_CALL = _names(Pose.__call__) + [field.name for field in fields(Style)]
