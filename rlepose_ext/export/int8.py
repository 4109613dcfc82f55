"""An exported model in 8 bit, without training: onnxruntime's static quantisation.

What a good range is differs from network to network, and so does whether the last layers, whose
rounding goes straight into coordinates and sigma, can be rounded. So what there is is tried, and
the crops that were left out of the choice of ranges decide.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.onnx_pose import OnnxPose
from rlepose_ext.quiet import without_logs

# What is rounded: layers with weights, and what stands between them without changing a scale.
OPERATORS = (
    *('Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'Add', 'Concat', 'Resize'),
    *('Clip', 'Relu', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'DepthToSpace', 'Slice'),
)
# SiLU, and gates of attention: x * sigmoid(y).
GATES = ('Sigmoid', 'Mul')
# By onnxruntime's names.
METHODS = {'minmax': 'MinMax', 'percentile': 'Percentile', 'entropy': 'Entropy'}
PERCENTILE = 99.99
HELD_OUT = 4  # every fourth crop decides
CHUNK = 8  # crops whose activations are in memory at once
# Leaving one part more in float must pay by this much.
WORTH = 0.95


def decide(crops: np.ndarray) -> np.ndarray:
    """Which crops decide, (N,): every fourth.

    Raises:
        UserError: there are too few.
    """
    if len(crops) < 2 * HELD_OUT:  # one alone cannot be exported with a batch of any size
        raise UserError(
            f'too few persons to choose 8-bit ranges: {len(crops)} of at least {2 * HELD_OUT}, and '
            'hundreds are better'
        )
    return np.arange(len(crops)) % HELD_OUT == HELD_OUT - 1


def round_file(path: Path, crops: np.ndarray, expected: list[np.ndarray | None]) -> dict[str, Any]:
    """Round a float model of `rlepose export` to 8 bit, in its file.

    Args:
        path: of the file.
        crops: (N, h, w, C) uint8, of persons.
        expected: keypoints, scores and sigma that the float model finds in those that decide.

    Returns:
        ``method``; ``in_float``, the parts that were left in float: ``'head'``, its last layers,
        and ``'gates'``, products with a sigmoid; ``persons``, how many crops; ``tried``, the mean
        distance to the float model for each that was tried, px of the crop, of keypoints plus,
        where there is sigma, of sigma.

    Raises:
        UserError: onnxruntime cannot do it.
    """
    deciding = decide(crops)
    ranges_from, unseen = crops[~deciding], crops[deciding]
    parts = _parts(path)
    tried: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix='.int8') as name:
        folder = Path(name)
        for method, left in itertools.product(METHODS, range(len(parts))):
            target = folder / f'{method}-{left}.onnx'
            nodes = set().union(*list(parts.values())[left:])
            _quantise(path, target, ranges_from, method, nodes, folder / f'{method}.json')
            keypoints, _, sigma = OnnxPose(target, 'cpu').points(unseen)
            error = np.abs(keypoints - expected[0]).mean()
            error += 0.0 if sigma is None else np.abs(sigma - expected[2]).mean()
            tried[method, left] = float(error) if np.isfinite(error) else np.inf
        # a part in float costs time and room, so it must be worth it
        method, left = min(tried, key=lambda key: tried[key] / WORTH ** key[1])
        (folder / f'{method}-{left}.onnx').replace(path)
    names = list(parts)
    return {
        'method': method,
        'in_float': names[:left],
        'persons': len(crops),
        'tried': [
            {'method': m, 'in_float': names[:n], 'px': round(px, 4)} for (m, n), px in tried.items()
        ],
    }


def _parts(path: Path) -> dict[str, set[str]]:
    """Names of the nodes that may be rounded, by part; the first parts may be left in float.

    Upsampling of a head, most of its time, belongs to the network here.
    """
    import onnx

    parts: dict[str, set[str]] = {'head': set(), 'gates': set(), 'network': set()}
    sigmoids: set[str] = set()
    for node in onnx.load(path, load_external_data=False).graph.node:
        scopes = ''.join(p.value for p in node.metadata_props if p.key.endswith('name_scopes'))
        gate = node.op_type == 'Sigmoid' or not sigmoids.isdisjoint(node.input)
        if node.op_type == 'Sigmoid':
            sigmoids.update(node.output)
        if "'model" not in scopes or node.op_type not in (OPERATORS + GATES * gate):
            continue
        in_head = "'model.head" in scopes and "'model.head.deconv_layers" not in scopes
        parts['head' if in_head else 'gates' if node.op_type in GATES else 'network'].add(node.name)
    return {name: nodes for name, nodes in parts.items() if nodes}


def _clipped(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Ranges of what a ReLU6 clips, and of what it leaves: its limits, not those of some crops.

    Limits may stand behind a cast. onnxruntime drops a Clip whose limits it finds as constants, and
    lets the convolution before it have the name and the range of the output.
    """
    import onnx

    nodes = {node.output[0]: node for node in onnx.load(path).graph.node if node.output}

    def value(name: str) -> float | None:
        node = nodes.get(name)
        while node is not None and node.op_type in ('Cast', 'CastLike', 'Identity'):
            node = nodes.get(node.input[0])
        if node is None or node.op_type != 'Constant':
            return None
        constant = onnx.helper.get_attribute_value(node.attribute[0])
        if isinstance(constant, onnx.TensorProto):
            constant = onnx.numpy_helper.to_array(constant)
        return float(constant)

    found = {}
    for node in nodes.values():
        before = nodes.get(node.input[0]) if node.op_type == 'Clip' else None
        if before is not None and before.op_type == 'Conv' and len(node.input) == 3:
            limits = [value(name) for name in node.input[1:]]
            if None not in limits:
                low, high = map(np.float32, limits)
                for name in (node.input[0], node.output[0]):
                    found[name] = [{'rmin': low, 'rmax': high}]
    return found


class _Reader:
    """Crops as onnxruntime's calibration reads them."""

    def __init__(self, crops: np.ndarray) -> None:
        self.crops = crops
        self.set_range(0, len(crops))

    def __len__(self) -> int:
        return len(self.crops)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._rest = iter(self.crops[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        crop = next(self._rest, None)
        return None if crop is None else {'crops': crop[None]}


def _quantise(
    source: Path, target: Path, crops: np.ndarray, method: str, nodes: set[str], ranges: Path
) -> None:
    from onnxruntime import quantization as ort

    options: dict[str, Any] = {'CalibPercentile': PERCENTILE, 'CalibTensorRangeSymmetric': False}
    options['TensorQuantOverrides'] = _clipped(source)
    if len(crops) % CHUNK == 0:
        options['CalibStridedMinMax'] = CHUNK
    with _quietly():
        try:
            ort.quantize_static(
                source,
                target,
                _Reader(crops),
                quant_format=ort.QuantFormat.QDQ,
                op_types_to_quantize=[*OPERATORS, *GATES],
                nodes_to_quantize=sorted(nodes),
                per_channel=True,
                activation_type=ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
                calibrate_method=getattr(ort.CalibrationMethod, METHODS[method]),
                calibration_cache_path=ranges,
                extra_options=options,
            )
        except Exception as error:  # of many kinds, from inside of onnxruntime
            raise UserError(
                f'onnxruntime cannot round this model: {type(error).__name__}: {error}'
            ) from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what onnxruntime prints and logs."""
    with without_logs(logging.WARNING), contextlib.redirect_stdout(io.StringIO()):
        yield
