"""A model as an ONNX file: write, describe, compare with the model it came from."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine
from torch import nn

from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.datasets.transforms import StretchResize, ToGray
from rlepose_ext.errors import UserError
from rlepose_ext.export import int8
from rlepose_ext.export.calibration import calibration_crops
from rlepose_ext.export.deconv import with_convolutions
from rlepose_ext.export.graph import RTMLIB_MEAN, RTMLIB_STD, PoseGraph, SimCCGraph
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.loading import config_and_checkpoint
from rlepose_ext.inference.network import normalise_crops, predict
from rlepose_ext.inference.onnx_file import ARRAYS, FORMAT, Session, as_properties
from rlepose_ext.models.estimators import QuantPoseEstimator
from rlepose_ext.zoo.weights import sha256_of

LAYOUTS = ('rlepose', 'rtmlib')
# Largest difference between the points of both models, input px. Half precision has no limit.
LIMIT = 0.05
# Of how many drawn people the points are compared.
PEOPLE = 8
# By how much of itself each parameter is off, to see where rounding decides: that of a network in
# float32 is of this size, and two runtimes round differently. A point that moves then (bins that
# tie, the refinement of a flat map) need not be the same in both.
NOISE = 1e-6
DRAWS = 3
# Of MMPose's dataset_meta, what a result needs, under MMPose's names.
JOINTS = ('dataset_name', 'skeleton_links', 'flip_indices', 'flip_pairs', *ARRAYS)


@dataclass(frozen=True)
class Difference:
    """How far the exported model is from the one it came from.

    Attributes:
        what: ``'keypoints'``, ``'scores'``, ``'sigma'``, ``'simcc_x'`` or ``'simcc_y'``.
        largest: of all crops and joints; of keypoints and sigma a coordinate's, input px.
        mean: likewise.
        left_out: share of the joints that do not count, because rounding decides where they are.
    """

    what: str
    largest: float
    mean: float
    left_out: float = 0.0


@dataclass(frozen=True)
class Exported:
    """What :func:`export_onnx` wrote.

    Attributes:
        path: the ONNX file; its metadata are beside it with the suffix ``.json``.
        content: the metadata.
        differences: from the model it came from.
    """

    path: Path
    content: dict[str, Any]
    differences: list[Difference]


def export_onnx(
    model: Any,
    checkpoint: str | Path | None = None,
    out: str | Path = 'model.onnx',
    half: bool = False,
    layout: str = 'rlepose',
    calibrate: str | Path | None = None,
) -> Exported:
    """Write a model as one ONNX file, and run both on drawn people.

    A top-down model takes crops; one that finds everybody takes pictures, see :mod:`.people`.

    Args:
        model: config file, ``Config``, or the name of a config of the zoo.
        checkpoint: file or URL; by default the public one.
        out: the file to write.
        half: the network in float16, half the size. Points may then be off by a bin or a pixel.
        layout: ``'rlepose'``: uint8 crops in, points out. ``'rtmlib'``: what rtmlib's ``RTMPose``
            feeds in, SimCC's bins out.
        calibrate: round to 8 bit with ranges from these persons, see
            :func:`.calibration.calibration_crops`. Differences are those on some of them.

    Raises:
        UserError: a test pipeline, codec or head that is not known here, an operator that ONNX does
            not have, points that differ by more than :data:`LIMIT` (not of 8 bit and half
            precision), no persons to calibrate with, or onnx, onnxscript or
            onnxruntime is not installed. Then nothing is written.
    """
    if layout not in LAYOUTS:
        raise UserError(f'layout: expected one of {", ".join(LAYOUTS)}, got {layout!r}')
    out = Path(out)
    if out.suffix != '.onnx':
        raise UserError(f'{out}: expected a file name that ends in .onnx')
    check_target(out, 'rlepose_format')
    if calibrate is not None and (half or layout != 'rlepose'):
        raise UserError('8 bit has its own precision and our own layout: leave --half and --layout')
    _check_packages()
    config, checkpoint = config_and_checkpoint(model, checkpoint)
    kind = str(config.get('model', {}).get('type'))
    if kind.endswith(('BottomupPoseEstimator', 'PyramidPoseEstimator')):
        from rlepose_ext.export.people import people_of

        if layout != 'rlepose' or calibrate is not None:
            what = '8 bit is' if calibrate is not None else f'the layout {layout} is'
            raise UserError(f'{what} for top-down models only: leave it out')
        subject = people_of(config, checkpoint, half)
    else:
        subject = _crops_of(config, checkpoint, half, layout, calibrate)
    content = subject.content
    with written(out) as part, written(out.with_suffix('.json')) as beside:
        _export(subject, part)
        if subject.persons is not None:
            rounded = int8.round_file(part, subject.persons, subject.expected)
            content |= {'network': 'int8', 'int8': rounded}
            _describe_again(part, content)
        found = _run(part, subject.inputs)
        differences = differences_of(content['outputs'], found, subject.expected, subject.steady)
        limited = content['network'] == 'float32'
        _check(differences, content, limited)
        if subject.other is not None:
            inputs, *rest = subject.other
            others = differences_of(content['outputs'], _run(part, inputs), *rest)
            _check(others, content, limited)
        text = json.dumps(content, indent=1)
        try:
            beside.write_text(text + '\n', encoding='utf-8')
        except OSError as error:
            raise UserError(f'{out} cannot be written: {error.strerror}') from error
    return Exported(out, content, differences)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to export, and what it answers to drawn people.

    Attributes:
        graph: the module to export.
        content: the metadata; ``outputs`` names what ``graph`` gives.
        input_name: of its one input.
        inputs: (N, ...), what both are compared on.
        dynamic_shapes: as ``torch.export`` takes them.
        expected: the outputs of the model for ``inputs`` by its own decoding.
        steady: which points are compared, the shape of ``expected[0]`` less the last; None is all.
        persons: crops from which the ranges of 8 bit are taken, (M, h, w, C) uint8; those that
            decide between ranges are ``inputs``.
        other: ``inputs``, ``expected`` and ``steady`` of another shape, where the file takes any.
    """

    graph: nn.Module
    content: dict[str, Any]
    input_name: str
    inputs: np.ndarray
    dynamic_shapes: tuple[Any, ...]
    expected: list[np.ndarray | None]
    steady: np.ndarray | None = None
    persons: np.ndarray | None = None
    other: tuple[np.ndarray, list[np.ndarray], np.ndarray] | None = None


def _crops_of(
    config: Any, checkpoint: str, half: bool, layout: str, calibrate: str | Path | None
) -> Subject:
    estimator = PoseEstimator(config, checkpoint, device='cpu', flip_test=False)
    trained = isinstance(estimator.model, QuantPoseEstimator)
    if trained and (half or layout != 'rlepose' or calibrate is not None):
        raise UserError(
            f'{config.filename} is trained for 8 bit and has its own ranges: leave --int8, --half '
            'and --layout out'
        )
    persons = None if calibrate is None else calibration_crops(estimator, calibrate)
    crops = drawn_crops(estimator) if persons is None else persons[int8.decide(persons)]
    content = describe(estimator, half, layout)
    if trained:
        content['network'] = 'int8'
    # before half precision changes the model
    expected = torch_outputs(estimator, crops, layout)
    # Of integers rounding decides every joint.
    compared = layout == 'rlepose' and not trained
    same = None
    if compared:
        same = steady(estimator.model, lambda: torch_outputs(estimator, crops)[0], expected[0])
    batch = ({0: torch.export.Dim('batch', min=1)},)
    if layout == 'rtmlib':
        graph = SimCCGraph(estimator.model, half).eval()
        return Subject(graph, content, 'input', _as_rtmlib(crops), batch, expected)
    if calibrate is not None:
        with_convolutions(estimator.model)
    graph = PoseGraph(estimator.model, half).eval()
    return Subject(graph, content, 'crops', crops, batch, expected, same, persons)


def describe(estimator: PoseEstimator, half: bool, layout: str) -> dict[str, Any]:
    """The metadata of a top-down model's file, values that JSON has.

    Raises:
        UserError: the test pipeline makes crops in a way that is not known here.
    """
    crop, channels = crop_of(estimator._transform.transforms)
    outputs = ['keypoints', 'scores'] if layout == 'rlepose' else ['simcc_x', 'simcc_y']
    if layout == 'rlepose' and estimator.has_sigma:
        outputs.append('sigma')
    return {
        **about(estimator.model, estimator.meta, estimator.checkpoint, half),
        'layout': layout,
        'input_size': list(estimator.input_size),
        'channels': channels,
        'channel_order': 'bgr' if channels == 3 else 'grey',
        'outputs': outputs,
        'units': 'input px: keypoints and sigma',
        'crop': crop,
        'sigma_spread': _plain(estimator.meta.get('sigma_spread')),
        'sigma_correlation': estimator.meta.get('sigma_correlation'),
        'calibration': estimator.meta.get('calibration'),
    }


def about(
    model: nn.Module, meta: Mapping[str, Any], checkpoint: str | Path, half: bool
) -> dict[str, Any]:
    """What the metadata of every file have in common.

    Args:
        model: with ``cfg``.
        meta: ``dataset_meta``.
        checkpoint: its file or URL.
        half: whether the network is in float16.
    """
    joints = {name: _plain(meta[name]) for name in JOINTS if name in meta}
    names = meta.get('keypoint_id2name', {})
    joints['names'] = [str(names.get(i, i)) for i in range(int(meta['num_keypoints']))]
    file = Path(checkpoint)
    known = file.is_file()
    return {
        'rlepose_format': FORMAT,
        'name': Path(model.cfg.filename or 'model').stem,
        'joints': joints,
        'codec': _plain(dict(model.cfg.model.head.get('decoder') or {})),
        'network': 'float16' if half else 'float32',
        'checkpoint': file.name if known else None,
        'checkpoint_sha256': sha256_of(file) if known else None,
        'versions': {
            name: version(name) for name in ('rlepose_ext', 'mmpose', 'torch', 'onnx', 'onnxscript')
        },
    }


def drawn_crops(estimator: PoseEstimator, number: int = PEOPLE) -> np.ndarray:
    """Crops of drawn people, (N, h, w, C) uint8, the same for every call."""
    pixels, index = [], 0
    while len(pixels) < number:
        image, people = draw_one(0, 'val', index, SyntheticPeopleConfig())
        boxes = np.array([person['bbox'] for person in people], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        pixels += list(estimator.crop(image, boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]).pixels)
        index += 1
    return np.stack(pixels[:number])


def crop_of(steps: Sequence[Any]) -> tuple[dict[str, Any], int]:
    """How transforms make crops, as :class:`.onnx_pose.OnnxPose` reads it, and their channels.

    Args:
        steps: of the test pipeline, without those that load and pack.

    Raises:
        UserError: they make crops in a way that is not known there.
    """
    crop: dict[str, Any] = {'grey': False}
    channels = 3
    for step in steps:
        kind = type(step)
        if kind is GetBBoxCenterScale:
            crop |= {'type': 'padded', 'padding': step.padding}
        elif kind is TopdownAffine:
            crop['use_udp'] = step.use_udp
        elif kind is StretchResize:
            crop['type'] = 'stretch'
        elif kind is ToGray:
            crop['grey'], channels = True, step.num_output_channels
        else:
            raise UserError(
                f'the test pipeline has {kind.__name__}, which rlepose_ext.runtime does not know; '
                'it knows GetBBoxCenterScale, TopdownAffine, StretchResize and ToGray'
            )
    if 'type' not in crop or (crop['type'] == 'padded') != ('use_udp' in crop):
        raise UserError(
            'the test pipeline makes no crops: expected GetBBoxCenterScale and TopdownAffine, or '
            'StretchResize'
        )
    return crop, channels


def torch_outputs(
    estimator: PoseEstimator, crops: np.ndarray, layout: str = 'rlepose'
) -> list[np.ndarray | None]:
    """What the model gives for crops, by the codec: keypoints, scores and sigma; or the bins.

    Args:
        estimator: the model.
        crops: (N, h, w, C) uint8.
        layout: of the export.
    """
    model = estimator.model
    x = normalise_crops(crops, model.data_preprocessor, torch.device('cpu'))
    with torch.inference_mode():
        if layout == 'rtmlib':
            bins = model.head.forward(model.extract_feat(x))
            return [np.asarray(each) for each in bins[:2]]
        meta = {
            'flip_indices': estimator.meta['flip_indices'],
            'input_size': estimator.input_size,
        }
        poses = predict(model, x, meta, flip_test=False)
    keypoints = np.concatenate([pose.keypoints for pose in poses])[..., :2]
    scores = np.concatenate([pose.keypoint_scores for pose in poses])
    sigma = None
    if all('sigma' in pose for pose in poses):
        sigma = np.concatenate([pose.sigma for pose in poses])
    return [keypoints, scores, sigma]


def steady(model: nn.Module, points: Callable[[], np.ndarray], expected: np.ndarray) -> np.ndarray:
    """(...,), which points (..., 2) stay where they are if arithmetic rounds otherwise.

    What rounded arithmetic gives is the exact answer for numbers that are off by some units in the
    last place (backward error; Higham, *Accuracy and Stability of Numerical Algorithms*, 2002,
    section 3.1). So each parameter and each number that a layer gives is multiplied by
    1 + :data:`NOISE` times a standard normal number, anew for each of :data:`DRAWS`. Noise in the
    parameters reaches networks whose layers are functions; noise in the last maps shows where a
    refined peak hangs on differences of nearly equal values.

    Args:
        model: whose parameters are changed meanwhile.
        points: asks the model for its points.
        expected: those that it gives otherwise.
    """
    generator = torch.Generator().manual_seed(0)

    def noisy(value: torch.Tensor) -> torch.Tensor:
        return value * (1 + NOISE * torch.randn(value.shape, generator=generator))

    def round_otherwise(layer: nn.Module, given: Any, output: Any) -> Any:
        return noisy(output) if isinstance(output, torch.Tensor) else None

    exact = [(each, each.detach().clone()) for each in model.parameters()]
    same = np.ones(expected.shape[:-1], bool)
    hooks = [
        each.register_forward_hook(round_otherwise)
        for each in model.modules()
        if not any(True for _ in each.children())
    ]
    try:
        for _ in range(DRAWS):
            with torch.inference_mode():
                for each, value in exact:
                    each.copy_(noisy(value))
            same &= (np.abs(points() - expected) <= LIMIT / 5).all(-1)
    finally:
        for hook in hooks:
            hook.remove()
        with torch.inference_mode():
            for each, value in exact:
                each.copy_(value)
    return same


def _export(subject: Subject, path: Path) -> None:
    content = subject.content
    with _quietly():
        try:
            with torch.no_grad():
                program = torch.onnx.export(
                    subject.graph,
                    (torch.from_numpy(subject.inputs[:2]),),
                    dynamo=True,
                    # With True, onnxscript 0.7.2 takes constants below 1e-8 for 0 and drops the
                    # epsilon of RMS norm (docs/deploy.md). onnxruntime optimises when it loads.
                    optimize=False,
                    verbose=False,
                    input_names=[subject.input_name],
                    output_names=content['outputs'],
                    dynamic_shapes=subject.dynamic_shapes,
                )
        except Exception as error:  # export and translation raise errors of many kinds
            raise UserError(f'{content["name"]} cannot be exported: {_reason(error)}') from error
        _plain_bounds(program.model)
        content['opset'] = program.model.opset_imports['']
        program.model.metadata_props.update(as_properties(content))
        if subject.persons is None:
            # Where in the source each node comes from: half of a small file. 8 bit reads it first.
            for node in program.model.graph:
                node.metadata_props.clear()
        try:
            program.save(path, external_data=False)
        except OSError as error:
            raise UserError(f'{path} cannot be written: {error.strerror or error}') from error


def _plain_bounds(model: Any) -> None:
    """Make the bounds of each ``Clip`` constants, which they are behind a ``CastLike``.

    onnxruntime finds that out too late to fuse a ReLU6 into the convolution before it.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    for node in [each for each in model.graph if each.op_type == 'Clip']:
        for index, bound in enumerate(node.inputs):
            cast = bound.producer() if bound is not None and index > 0 else None
            if cast is None or cast.op_type != 'CastLike':
                continue
            constant, dtype = ir.convenience.get_const_tensor(cast.inputs[0]), node.inputs[0].dtype
            if constant is None or dtype is None:
                continue
            value = ir.tensor(constant.numpy().astype(dtype.numpy()))
            plain = ir.node('Constant', [], {'value': value})
            model.graph.insert_before(node, plain)
            node.replace_input_with(index, plain.outputs[0])
    RemoveUnusedNodesPass()(model)  # onnxruntime warns of each


def _describe_again(path: Path, content: Mapping[str, Any]) -> None:
    """Put the metadata into a file that onnxruntime has written anew."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.helper.set_model_props(model, as_properties(content))
    onnx.save(model, path)


def _reason(error: BaseException) -> str:
    """The operator or the line that stopped an export, in one line."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    missing = re.search(
        r"No (?:ONNX function|decompositions)[^\n]*?'?(aten[\w.:]+)", '\n'.join(texts)
    )
    if missing:
        return f'ONNX has no counterpart of the operator {missing[1]}'
    lines = [line.strip() for line in texts[-1].splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def differences_of(
    names: list[str],
    found: list[np.ndarray],
    expected: list[np.ndarray | None],
    steady: np.ndarray | None = None,
) -> list[Difference]:
    """How far outputs are from those expected; of keypoints only ``steady`` joints count."""
    differences = []
    for name, ours, theirs in zip(names, found, expected, strict=False):
        if theirs is None:
            continue
        apart, left_out = np.abs(ours.astype(np.float64) - theirs), 0.0
        if name == 'keypoints' and steady is not None:
            apart, left_out = apart[steady], 1 - float(steady.mean())
        largest, mean = (apart.max(), apart.mean()) if apart.size else (np.nan, np.nan)
        differences.append(Difference(name, float(largest), float(mean), left_out))
    return differences


def _check(differences: list[Difference], content: Mapping[str, Any], limited: bool) -> None:
    for each in differences:
        if each.left_out == 1:
            raise UserError(
                f'{content["name"]}: where its {each.what} are depends on the last digits of its '
                'numbers, so nothing can be compared with the checkpoint. Nothing is written. Is '
                'it trained?'
            )
        far = limited and each.what in ('keypoints', 'sigma')
        if not np.isfinite(each.largest) or (far and each.largest > LIMIT):
            raise UserError(
                f'{content["name"]}: {each.what} of the exported model differ from those of the '
                f'checkpoint by up to {each.largest:.3g} px, allowed are {LIMIT}. Nothing is '
                'written. Please report it.'
            )


def _as_rtmlib(crops: np.ndarray) -> np.ndarray:
    """Crops as rtmlib feeds them in, (N, 3, h, w) float32."""
    pixels = (crops - np.array(RTMLIB_MEAN)) / np.array(RTMLIB_STD)
    return pixels.astype(np.float32).transpose(0, 3, 1, 2).copy()


def _run(path: Path, x: np.ndarray) -> list[np.ndarray]:
    session = Session(path, 'cpu')
    try:
        return session.run(**{session.input_name: x})
    except Exception as error:  # of many kinds, with no common one
        said = str(error).strip().partition('\n')[0]
        raise UserError(f'onnxruntime cannot run the exported model: {said}') from error


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _check_packages() -> None:
    missing = []
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        try:
            __import__(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise UserError(f'export needs {", ".join(missing)}: pip install "rlepose_ext[export]"')


def check_target(out: Path, key: str) -> None:
    """Refuse a folder, and to replace a JSON file that another command or program has written.

    Args:
        out: the file that is wanted; a JSON file of the same name comes beside it.
        key: that such a JSON file has.

    Raises:
        UserError: one of these.
    """
    if out.is_dir():
        raise UserError(f'{out} is a folder, expected the name of a file')
    beside = out.with_suffix('.json')
    if not beside.exists():
        return
    try:
        content = json.loads(beside.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or key not in content:
        raise UserError(
            f'{beside} is there, and what is to be said of {out.name} would replace it: give '
            'another --out'
        )


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A file of another name that takes this name if all goes well, and else is removed.

    Raises:
        UserError: nothing can be written there, which is found before the minutes of an export.
    """
    part = path.with_name(f'.{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror}') from error
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter prints and logs."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
