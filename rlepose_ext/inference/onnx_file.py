"""Files of ``rlepose export``: what they say of themselves, and a session that runs them.

Needs numpy and onnxruntime; neither torch nor MMPose.
"""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError

# Of the metadata; a file with another one is of another version of this project.
FORMAT = 1
# Device, onnxruntime's name of it, and the package that brings it.
PROVIDERS = {
    'cpu': ('CPUExecutionProvider', 'onnxruntime'),
    'cuda': ('CUDAExecutionProvider', 'onnxruntime-gpu'),
    'openvino': ('OpenVINOExecutionProvider', 'onnxruntime-openvino'),
    'coreml': ('CoreMLExecutionProvider', 'onnxruntime on macOS'),
}
# What is of numpy in MMPose's dataset_meta.
ARRAYS = ('keypoint_colors', 'skeleton_link_colors', 'sigmas')


_threads: int | None = None  # of each network on the CPU; None is what the environment says


@contextmanager
def onnx_threads(number: int) -> Iterator[None]:
    """Meanwhile each network on the CPU has ``number`` threads."""
    global _threads
    before, _threads = _threads, number
    try:
        yield
    finally:
        _threads = before


class Session:
    """Runs a network by onnxruntime, on the CPU with as many threads as :func:`onnx_threads` says.

    onnxruntime gives a session its threads when it makes it, so there is one for each number that
    was wanted.

    Args:
        path: the ONNX file.
        device: see :func:`open_model`.

    Raises:
        UserError: see there.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._path, self._device = path, device
        self._make = functools.partial(_session, _onnxruntime(), path, device)
        self._one_at_a_time = threading.Lock()
        first = _threads or _own_threads()
        self._made = {first: self._make(first)}
        self._on_cpu = self._made[first].get_providers()[0] == PROVIDERS['cpu'][0]
        self.properties: dict[str, str] = self._made[first].get_modelmeta().custom_metadata_map
        self.input_name: str = self._made[first].get_inputs()[0].name

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        """Another process opens the file again."""
        return type(self), (self._path, self._device)

    def run(self, **inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs of the network; several threads may ask."""
        return self._get().run(None, inputs)

    def _get(self) -> Any:
        if not self._on_cpu:
            (session,) = self._made.values()
            return session
        wanted = _threads or _own_threads()
        with self._one_at_a_time:
            if wanted not in self._made:
                self._made[wanted] = self._make(wanted)
            return self._made[wanted]


def _own_threads() -> int | None:
    """Those of ``OMP_NUM_THREADS``, as torch has them; None is as many as there are cores."""
    number = os.environ.get('OMP_NUM_THREADS', '')
    return int(number) if number.isdecimal() else None


@functools.cache
def _has_vnni() -> bool:
    """Whether sums of 8-bit products cannot overflow, as far as Linux tells."""
    try:
        return 'vnni' in Path('/proc/cpuinfo').read_text()
    except OSError:
        return False


def as_properties(content: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as texts, which is all that ONNX has: JSON of each value."""
    return {name: json.dumps(value) for name, value in content.items()}


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """An exported model that is open.

    Attributes:
        path: of the file.
        session: runs it.
        content: the metadata.
    """

    path: Path
    session: Session
    content: dict[str, Any]

    @property
    def finds_everybody(self) -> bool:
        """Whether it takes whole pictures, not crops."""
        return self.content.get('persons') == 'many'


def opened(model: str | Path | OnnxFile, device: str, finds_everybody: bool) -> OnnxFile:
    """The model, opened if it is not yet, see :func:`open_model`.

    Raises:
        UserError: it takes crops and should take pictures, or the other way round.
    """
    file = model if isinstance(model, OnnxFile) else open_model(model, device)
    if file.finds_everybody != finds_everybody:
        takes, right = ('crops', 'OnnxPose') if finds_everybody else ('pictures', 'OnnxPeople')
        option = 'pose' if finds_everybody else 'det'
        raise UserError(
            f'{file.path} takes {takes}: it goes into --{option}, and in Python it is opened with '
            f'rlepose_ext.runtime.{right}'
        )
    return file


def open_model(path: str | Path, device: str = 'auto') -> OnnxFile:
    """Open an exported model.

    Args:
        path: the ONNX file.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:1'``, ``'openvino'``, ``'coreml'``; ``'auto'`` is
            CUDA where onnxruntime has it, else the CPU.

    Raises:
        UserError: no such file, a damaged one, or one that ``rlepose export`` has not written;
            onnxruntime is not installed, or has no such device.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path} does not exist or is no file')
    session = Session(path, device)
    properties = session.properties
    if 'rlepose_format' not in properties:
        raise UserError(
            f'{path} is an ONNX model, but not one that `rlepose export` wrote: it does not say '
            'what its inputs and joints are. Export the model again from its checkpoint.'
        )
    meta = {name: json.loads(text) for name, text in properties.items() if _is_json(text)}
    if meta.get('rlepose_format') != FORMAT:
        raise UserError(
            f'{path} has format {properties["rlepose_format"]}, and this version reads {FORMAT}: '
            'export the model again with this version'
        )
    needed = {'layout', 'joints', 'outputs', 'sigma_spread'}
    needed |= {'picture'} if meta.get('persons') == 'many' else {'crop', 'input_size', 'channels'}
    lacking = sorted(needed - set(meta))
    if lacking:
        raise UserError(
            f'{path} does not say its {", ".join(lacking)}, which `rlepose export` has written: '
            'export the model again from its checkpoint'
        )
    if meta['layout'] != 'rlepose':
        raise UserError(
            f'{path} has the layout {meta["layout"]}, for that library. Export the model without '
            '--layout to use it here.'
        )
    return OnnxFile(path, session, meta)


def joints_meta(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a :class:`.types.PoseResult` says of its joints, from the metadata of a file."""
    meta = dict(content['joints'])
    names = meta.pop('names')
    meta |= {'num_keypoints': len(names), 'keypoint_id2name': dict(enumerate(names))}
    meta['keypoint_name2id'] = {name: index for index, name in enumerate(names)}
    meta['skeleton_links'] = [tuple(link) for link in meta['skeleton_links']]
    meta |= {name: np.array(meta[name]) for name in ARRAYS if name in meta}
    spread = content['sigma_spread']
    meta['sigma_spread'] = None if spread is None else np.array(spread)
    known = ('sigma_correlation', 'calibration')
    meta |= {name: content[name] for name in known if content.get(name) is not None}
    return meta


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            'ONNX models need the package onnxruntime: pip install onnxruntime'
        ) from error
    # Errors of a file are told as one message, see _session.
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime


def _session(ort: Any, path: Path, device: str, threads: int | None) -> Any:
    kind, _, number = str(device).partition(':')
    there = ort.get_available_providers()
    if kind == 'auto':
        kind = 'cuda' if PROVIDERS['cuda'][0] in there else 'cpu'
    if kind not in PROVIDERS or (number and not (kind == 'cuda' and number.isdecimal())):
        raise UserError(
            f'device {device!r}: expected auto, {", ".join(PROVIDERS)} or cuda:1 for an ONNX model'
        )
    name, package = PROVIDERS[kind]
    if name not in there:
        installed = [each for each, (provider, _) in PROVIDERS.items() if provider in there]
        raise UserError(
            f'device {device!r}: this onnxruntime runs on {", ".join(installed)} only. '
            f"{kind} comes with the package {package}. Take 'auto' or one of these."
        )
    options = ort.SessionOptions()
    if not _has_vnni():
        # x86 sums products of signed weights in 16 bit then; onnxruntime has slower ones that fit
        options.add_session_config_entry('session.x64quantprecision', '1')
    if threads is not None:
        options.intra_op_num_threads = threads
    provider = (name, {'device_id': number}) if number else name
    try:
        session = ort.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # onnxruntime's are of many kinds, with no common one
        said = str(error).strip().partition('\n')[0]
        raise UserError(f'{path} is damaged or no ONNX model: {said}') from error
    # Where a provider's own libraries are missing, onnxruntime takes the CPU and says so nowhere.
    if session.get_providers()[0] != name and device != 'auto':
        raise UserError(
            f'device {device!r}: onnxruntime has it, but it cannot be used on this machine '
            "(libraries or a driver are missing). Take 'cpu' or 'auto'."
        )
    return session
