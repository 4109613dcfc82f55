"""From what a user names to a predictor: models, detectors, presets, and what is taken by default.

Without a name the best is taken of what is on this machine already; only where nothing is, of what
can be downloaded now. Servers that do not answer cost three seconds together, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.inference.predictors import Predictor, TopDown
from rlepose_ext.zoo import files, upstream, weights


@dataclass(frozen=True)
class Preset:
    """A detector and a pose model that go together.

    Attributes:
        detector: a name of :data:`DETECTORS`; None where the model needs none.
        pose: a name that :func:`build_pose` knows.
    """

    detector: str | None
    pose: str


PRESETS = {
    'fast': Preset(None, 'movenet-multipose'),
    'balanced': Preset('rtmdet-m', 'rtmpose-m'),
    'best': Preset('rtmdet-m', 'hrnet-w48'),
}
# Best first; the first of what is at hand is taken, else the first that can be had.
DEFAULT_DETECTORS = ('rtmdet-m', 'movenet-multipose', 'rtmdet-nano', 'rtmdet-tiny')
DEFAULT_POSES = ('rtmpose-m', 'movenet-thunder')
# Of a video on a CPU: one model for everybody, at three times the frames a second.
VIDEO_POSES = ('movenet-multipose', *DEFAULT_POSES)
DETECTORS = ('movenet-multipose', *upstream.DETECTORS, 'full')
# In names of joints: of a person or an animal, neither of a face alone nor of a hand.
BODY = ('shoulder', 'elbow', 'hip', 'knee', 'ankle', 'paw')
# The model that `make demo` trains on drawings of people.
QUICKSTART = Path('work_dirs/quickstart/summary.json')
QUICKSTART_CONFIG = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        predictor: ready to run.
        models: what runs, by name.
        notes: why, where it was not named.
        caution: why it may be wrong, or nothing.
    """

    predictor: Predictor
    models: str
    notes: Sequence[str] = ()
    caution: str = ''

    @property
    def why(self) -> str:
        """A line that says what runs, and why."""
        notes = '; '.join(dict.fromkeys([*self.notes, *filter(None, [self.caution])]))
        return f'{self.models} ({notes})' if notes else self.models


def choose(
    detector: Sequence[str] | None = None,
    pose: Sequence[str] | None = None,
    preset: str | None = None,
    *,
    device: str = 'auto',
    bbox_thr: float | None = None,
    nms_thr: float | None = None,
    category: int | Sequence[int] | None = None,
    refine: Sequence[str] | None = None,
    video: bool = False,
    **options: Any,
) -> Choice:
    """Build what was named, and choose the rest.

    Args:
        detector: a name of :data:`DETECTORS`, a JSON file of boxes, a file of ``rlepose export``
            that finds everybody, or config and checkpoint of mmdet.
        pose: a name, a file of ``rlepose export``, or config and checkpoint. A model that finds
            everybody needs no detector.
        preset: a name of :data:`PRESETS`, for what is not named.
        device: of both.
        bbox_thr: lowest score of a person's box; by default the detector's own.
        nms_thr: largest IoU of two boxes; by default the detector's own.
        category: of an mmdet detector, the class or classes to take for persons.
        refine: config and checkpoint of a model of PoseFix, which corrects the poses.
        video: there are videos among the inputs; where nothing is named and there is no GPU,
            a model is taken that is fast enough.
        **options: of :class:`.estimator.PoseEstimator`.

    Raises:
        UserError: an unknown name, files that do not fit, or nothing can be had.
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(f'preset: expected one of {", ".join(PRESETS)}, got {preset!r}')
    notes: list[str] = []
    if pose is None:
        if preset:
            pose = [PRESETS[preset].pose]
        elif video and detector is None and _on_cpu(device):
            pose = [_first_pose(notes, VIDEO_POSES, 'fast')]
            notes.append('for videos without a GPU; --preset balanced is slower and better')
        else:
            pose = [_first_pose(notes)]
    model = build_pose(pose, device, bbox_thr, nms_thr, **options)
    if hasattr(model, 'predict'):
        if detector is not None:
            raise UserError(f'{pose[0]} finds all persons by itself: leave the detector out')
        choice = Choice(model, f'pose {pose[0]}', notes)
    else:
        caution = ''
        if detector is None:
            if preset is not None and PRESETS[preset].detector is not None:
                detector = [PRESETS[preset].detector]
            elif pose[0] == 'quickstart':
                detector = ['full']
            else:
                detector = [first_detector(notes)]
                caution = '' if detector == ['full'] else caution_of(model.meta)
        found = build_detector(detector, device, bbox_thr, nms_thr, category)
        models = f'detector {detector[0]}, pose {pose[0]}'
        choice = Choice(TopDown(found, model), models, notes, caution)
    return choice if refine is None else _refined(choice, refine, device, options)


def _refined(choice: Choice, refine: Sequence[str], device: str, options: dict[str, Any]) -> Choice:
    """The same predictor with a model of PoseFix behind it."""
    from rlepose_ext.inference.refining import PoseRefiner, Refined

    given = {name: options[name] for name in ('batch_size', 'flip_test') if name in options}
    predictor = Refined(choice.predictor, PoseRefiner(*refine, device=device, **given))
    return replace(choice, predictor=predictor, models=f'{choice.models}, refine {refine[0]}')


def build_detector(
    values: Sequence[str],
    device: str = 'auto',
    bbox_thr: float | None = None,
    nms_thr: float | None = None,
    category: int | Sequence[int] | None = None,
) -> Any:
    """The detector of that name, see :func:`choose`.

    Raises:
        UserError: none of these, or files that do not fit.
    """
    from rlepose_ext.inference.detectors import FullImage

    first = values[0]
    given = {'bbox_thr': bbox_thr, 'nms_thr': nms_thr}
    given = {name: value for name, value in given.items() if value is not None}
    if first == 'full':
        return FullImage()
    if first == 'movenet-multipose':
        from rlepose_ext.inference.multipose import MultiPose

        return MultiPose(device=device, **given)
    if first.endswith('.onnx'):
        from rlepose_ext.inference.onnx_people import OnnxPeople

        return OnnxPeople(first, device, **given)
    if first.endswith('.json'):
        from rlepose_ext.inference.box_file import BoxFile

        given.pop('nms_thr', None)
        return BoxFile(first, **given)
    if first in upstream.DETECTORS:
        known = upstream.upstream_detector(first)
        values = [str(known.config), str(weights.fetch(known.weights))]
    if len(values) != 2:
        raise UserError(
            f'detector {first}: expected {", ".join(DETECTORS)}, a .json file of boxes, an .onnx '
            'file that finds everybody, or CONFIG CHECKPOINT of mmdet'
        )
    from rlepose_ext.inference.detectors import MMDetDetector
    from rlepose_ext.inference.loading import choose_device

    return MMDetDetector(*values, str(choose_device(device)), category, **given)


def build_pose(
    values: Sequence[str],
    device: str = 'auto',
    bbox_thr: float | None = None,
    nms_thr: float | None = None,
    **options: Any,
) -> Any:
    """A :class:`PoseEstimator` or :class:`OnnxPose`, or the predictor of a model that finds all.

    Raises:
        UserError: an unknown name, or files that do not fit.
    """
    from rlepose_ext.inference.loading import config_and_checkpoint

    first, *rest = values
    if first.endswith('.onnx'):
        return _exported(values, device, bbox_thr, nms_thr, **options)
    if first == 'quickstart':
        first, *rest = _quickstart()
    config, checkpoint = config_and_checkpoint(first, rest[0] if rest else None)
    model = config.get('model', {})
    if not str(model.get('type')).endswith('BottomupPoseEstimator'):
        from rlepose_ext.inference.estimator import PoseEstimator

        return PoseEstimator(config, checkpoint, device, **options)
    given = {'bbox_thr': bbox_thr, 'nms_thr': nms_thr}
    given = {name: value for name, value in given.items() if value is not None}
    if str(model['head'].get('type')).endswith('MoveNetMultiPoseHead'):
        from rlepose_ext.inference.multipose import MultiPose

        return MultiPose(config, checkpoint, device, **given)
    from rlepose_ext.inference.predictors import OneStage

    return OneStage(config, checkpoint, device, **given)


def _exported(
    values: Sequence[str],
    device: str,
    bbox_thr: float | None,
    nms_thr: float | None,
    **options: Any,
) -> Any:
    """A file of ``rlepose export``: an :class:`OnnxPose` or :class:`OnnxPeople`."""
    from rlepose_ext.inference.onnx_file import open_model
    from rlepose_ext.inference.onnx_people import OnnxPeople
    from rlepose_ext.inference.onnx_pose import OnnxPose

    if len(values) > 1:
        raise UserError(f'{values[0]} has its weights in it: leave {values[1]} out')
    if options.pop('flip_test', None):
        raise UserError(f'{values[0]}: an exported model has no flip test: leave flip_test out')
    if options.pop('dtype', 'float32') != 'float32':
        raise UserError(f'{values[0]} has its own type: `rlepose export --half` makes float16')
    file = open_model(values[0], device)
    if file.finds_everybody:
        return OnnxPeople(file, device, bbox_thr, nms_thr)
    return OnnxPose(file, device, **options)


def first_detector(notes: list[str]) -> str:
    """The detector that is taken by default; ``notes`` gets why."""
    name, failures = _first(DEFAULT_DETECTORS, notes)
    if name is None:
        notes.append(
            f'the whole picture is taken for one person, as no detector can be had: {failures}'
        )
    return name or 'full'


def caution_of(meta: Mapping[str, Any]) -> str:
    """What to say of a detector of persons if the joints of a model are not those of a body."""
    names = [str(name) for name in meta['keypoint_id2name'].values()]
    if any(part in name.lower() for name in names for part in BODY):
        return ''
    return (
        f'the detector looks for persons, and this model has joints of its own, {names[0]} to '
        f'{names[-1]}: the detector `full` takes the whole picture for one object, a .json file '
        'gives boxes'
    )


def _on_cpu(device: str) -> bool:
    from rlepose_ext.inference.loading import choose_device

    return choose_device(device).type == 'cpu'


def _first_pose(
    notes: list[str], names: Sequence[str] = DEFAULT_POSES, preset: str = 'balanced'
) -> str:
    name, failures = _first(names, notes, preset)
    if name is None:
        raise UserError(
            'no pose model is on this machine, and none can be downloaded now. Name one with '
            f'--pose CONFIG CHECKPOINT. Tried: {failures}'
        )
    return name


def _first(
    names: Sequence[str], notes: list[str], preset: str = 'balanced'
) -> tuple[str | None, str]:
    """The first name at hand, else the first that can be had; or why there is none.

    Args:
        names: best first.
        notes: gets a remark for the user.
        preset: the one that takes the first name.
    """
    known = {name: file for name in names if (file := weights_of(name)) is not None}
    for name, file in known.items():
        if weights.at_hand(file):
            if name != names[0]:
                notes.append(f'the best on this machine; preset {preset} would be downloaded')
            return name, ''
    failures, reached = [], weights.within_reach(known.values())
    for name, file in known.items():
        if file not in reached:
            failures.append(f'{name}: no answer from {weights.host_of(file)}')
            continue
        try:
            weights.fetch(file)
        except UserError as error:
            failures.append(f'{name}: {error}')
            continue
        return name, ''
    return None, '; '.join(failures)


def weights_of(name: str) -> files.WeightsFile | None:
    """The file that a detector or a pose model of this name needs, None if none is published.

    Raises:
        UserError: an unknown name.
    """
    if name in upstream.DETECTORS:
        return upstream.upstream_detector(name).weights
    model = upstream.upstream_model(name)
    return model.weights if model else files.file_named(name)


def _quickstart() -> tuple[str, str]:
    import json

    from rlepose_ext.resources import resource

    try:
        checkpoint = json.loads(QUICKSTART.read_text(encoding='utf-8'))['checkpoint']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{QUICKSTART} is not there: make demo has not been run here') from error
    if not Path(checkpoint).is_file():
        raise UserError(f'{checkpoint}, which {QUICKSTART} names, does not exist any more')
    return str(resource(QUICKSTART_CONFIG)), checkpoint
