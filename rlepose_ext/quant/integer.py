"""A quantised model as tables of integers, and what runs them: numpy alone, no floating point.

A layer with weight scale s_w, input scale s_in and output scale s_out computes

    q_out = clamp(round((n sum(q_w q_in)) / 2^m) + B),    s_w s_in / s_out = n / 2^m

with n of 8 bit, so that a processor needs a multiplication and a shift. Zero points go into the
bias, B = round(b / s_out + z_out - (n / 2^m) z_in sum(q_w)), and the border is padded with z_in.
A ReLU6 is a smaller clamp, [z_out, z_out + round(6 / s_out)]. Sums of two branches and the mean
over pixels are of the same form, with a factor n / 2^m for each input. Halves are rounded up:
``(x + 2^(m - 1)) >> m``. Without this half MMPose_Clean's own integers lose 5 points of OKS.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError

FORMAT = 1
LOW, HIGH = -128, 127
MOST = 255  # of n
ARRAYS = ('weight', 'n', 'm', 'bias')


@dataclass
class Layer:
    """One layer of integers.

    Attributes:
        name: of the module.
        kind: ``'layer'`` (convolution or linear), ``'add'`` or ``'pool'`` (sum over pixels).
        inputs: names of the layers that it reads; ``'input'`` is the crop.
        n, m: (O,) of a layer, (1,) of a pooling, one for each input of a sum.
        bias: (O,) or (1,), added after the shift.
        weight: (O, I, h, w) or (O, I), of a layer.
        stride, padding, groups: of a convolution.
        limits: least and greatest output.
        scale, zero_point: of the output.
    """

    name: str
    kind: str
    inputs: list[str]
    n: np.ndarray
    m: np.ndarray
    bias: np.ndarray
    limits: tuple[int, int]
    scale: float
    zero_point: int
    weight: np.ndarray | None = None
    stride: int = 1
    padding: int = 0
    groups: int = 1


@dataclass
class IntegerModel:
    """Layers in the order in which they run.

    Attributes:
        layers: of the network.
        scale, zero_point: of the input, a normalised crop.
        outputs: names of the layers whose outputs are the network's.
        content: the rest of the JSON: how crops are made, joints, codec.
    """

    layers: list[Layer]
    scale: float
    zero_point: int
    outputs: list[str]
    content: dict[str, Any] = field(default_factory=dict)

    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Integers of every layer.

        Args:
            x: (N, C, h, w), normalised crops, float.

        Returns:
            Outputs by the name of the layer, int64; ``'input'`` too.
        """
        steps = np.rint(x / np.float32(self.scale)) + self.zero_point
        values = {'input': steps.clip(LOW, HIGH).astype(np.int64)}
        zeros = {'input': self.zero_point}
        for layer in self.layers:
            values[layer.name] = _run(layer, [values[i] for i in layer.inputs], zeros)
            zeros[layer.name] = layer.zero_point
        return values

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        """Outputs of the network for normalised crops (N, C, h, w), as floats."""
        values = self.run(x)
        by_name = {layer.name: layer for layer in self.layers}
        return [
            ((values[name] - by_name[name].zero_point) * by_name[name].scale).astype(np.float32)
            for name in self.outputs
        ]


def dyadic(ratio: np.ndarray, most: int = MOST) -> tuple[np.ndarray, np.ndarray]:
    """The n / 2^m that is nearest to a positive ratio, n at most 255, in lowest terms.

    Returns:
        n and m, int64, of the shape of ``ratio``.
    """
    ratio = np.asarray(ratio, np.float64)
    # n may round down to 255, but not up to 256
    m = np.floor(np.log2((most + 0.5) / ratio)).astype(np.int64)
    n = np.rint(ratio * np.exp2(m)).astype(np.int64).clip(max=most)
    while (even := (n % 2 == 0) & (m > 0) & (n > 0)).any():
        n, m = np.where(even, n // 2, n), m - even
    return n, m


def shifted(x: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Integers divided by 2^m, halves rounded up."""
    return (x + ((1 << m) >> 1)) >> m


def _run(layer: Layer, inputs: list[np.ndarray], zeros: dict[str, int]) -> np.ndarray:
    if layer.kind == 'add':
        parts = [shifted(q * n, m) for q, n, m in zip(inputs, layer.n, layer.m, strict=True)]
        y = sum(parts) + layer.bias
    elif layer.kind == 'pool':
        y = shifted(inputs[0].sum((2, 3)) * layer.n, layer.m) + layer.bias
    else:
        total = _accumulate(layer, inputs[0], zeros[layer.inputs[0]])
        channel = (-1, 1, 1) if total.ndim == 4 else (-1,)
        n, m, bias = (each.reshape(channel) for each in (layer.n, layer.m, layer.bias))
        y = shifted(total * n, m) + bias
    return y.clip(*layer.limits)


def _accumulate(layer: Layer, x: np.ndarray, zero_point: int) -> np.ndarray:
    """Sums of products of a convolution or a linear layer."""
    weight = layer.weight.astype(np.int64)
    if weight.ndim == 2:
        # the bins of SimCC are linear in a flattened map
        x = x.reshape(*x.shape[:2], -1) if x.ndim == 4 else x
        return x @ weight.T
    out, _, height, width = weight.shape
    border, step = layer.padding, layer.stride
    x = np.pad(x, [(0, 0), (0, 0), (border, border), (border, border)], constant_values=zero_point)
    rows = (x.shape[2] - height) // step + 1
    columns = (x.shape[3] - width) // step + 1
    total = np.zeros((len(x), out, rows, columns), np.int64)
    for i in range(height):
        for j in range(width):
            part = x[:, :, i : i + step * rows : step, j : j + step * columns : step]
            if layer.groups == 1:
                total += np.einsum('oc,nchw->nohw', weight[:, :, i, j], part, optimize=True)
            else:
                total += part * weight[:, 0, i, j][:, None, None]
    return total


def save(model: IntegerModel, path: str | Path, beside: str | Path) -> None:
    """Write the arrays as ``path`` (npz) and all else as JSON, ``beside``.

    Raises:
        OSError: it cannot be written.
    """
    arrays = {
        f'{layer.name}.{name}': getattr(layer, name)
        for layer in model.layers
        for name in ARRAYS
        if getattr(layer, name) is not None
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    layers = [
        {key: value for key, value in vars(layer).items() if key not in ARRAYS}
        for layer in model.layers
    ]
    content = {
        'integer_format': FORMAT,
        **model.content,
        'input': {'scale': model.scale, 'zero_point': model.zero_point},
        'network_outputs': model.outputs,
        'layers': layers,
    }
    text = json.dumps(content, indent=1) + '\n'
    Path(path).write_bytes(stream.getvalue())
    Path(beside).write_text(text, encoding='utf-8')


def load(path: str | Path) -> IntegerModel:
    """Read what :func:`save` wrote.

    Raises:
        UserError: a file is missing, damaged, or of another kind.
    """
    path = Path(path)
    beside = path.with_suffix('.json')
    try:
        content = json.loads(beside.read_text(encoding='utf-8'))
        known = content.pop('integer_format')
        if known != FORMAT:
            raise UserError(f'{beside}: expected integer_format {FORMAT}, got {known!r}')
        entry, outputs = content.pop('input'), content.pop('network_outputs')
        with np.load(path, allow_pickle=False) as arrays:
            layers = [_layer(values, arrays) for values in content.pop('layers')]
        return IntegerModel(layers, entry['scale'], entry['zero_point'], outputs, content)
    except FileNotFoundError as error:
        raise UserError(f'{error.filename} does not exist; integer tables are two files') from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f'{path}: these are no integer tables of `rlepose export --integer`, or they are '
            f'damaged: {type(error).__name__}: {error}'
        ) from error


def _layer(values: dict[str, Any], arrays: Any) -> Layer:
    names = ARRAYS if values['kind'] == 'layer' else ARRAYS[1:]
    found = {name: arrays[f'{values["name"]}.{name}'] for name in names}
    for name, array in found.items():
        if array.dtype.kind != 'i':
            raise ValueError(f'{values["name"]}.{name} holds {array.dtype}, not integers')
    return Layer(**{**values, 'limits': tuple(values['limits'])}, **found)
