"""A quantised training as QuantizeLinear and DequantizeLinear: onnxruntime rounds as it did."""

import numpy as np
import pytest
import torch
from torch import nn

from rlepose_ext.export.qdq import with_integers
from rlepose_ext.quant.layers import points

onnx = pytest.importorskip('onnx', reason='needs the extra [export]')
pytest.importorskip('onnxscript', reason='needs the extra [export]')
ort = pytest.importorskip('onnxruntime', reason='needs the extra [export]')


class Front(nn.Module):
    """The first layers, with one sum."""

    def __init__(self, model):
        super().__init__()
        backbone = model.backbone
        self.layers = nn.Sequential(backbone.conv1, *backbone.layer1, *backbone.layer2)

    def forward(self, x):
        return self.layers(x)


@pytest.mark.slow
@pytest.mark.parametrize('fraction', [0.0, 0.3], ids=['whole', 'learned'])
def test_layers_round_as_in_training(calibrated, batch, tmp_path, fraction):
    """Whole zero points run as integers throughout, those that LSQ+ learned give the same."""
    front = Front(calibrated).eval()
    with torch.no_grad():
        for point in points(front).values():
            point.zero_point += fraction
        expected = front(batch)
    last = list(points(front).values())[-1]
    with_integers(front)
    program = torch.onnx.export(front, (batch,), dynamo=True, optimize=False, verbose=False)
    program.save(tmp_path / 'front.onnx')
    options = ort.SessionOptions()
    options.add_session_config_entry('session.x64quantprecision', '1')
    options.optimized_model_filepath = str(tmp_path / 'fused.onnx')
    options.log_severity_level = 3
    session = ort.InferenceSession(str(tmp_path / 'front.onnx'), options)
    (found,) = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
    steps = np.abs(found - expected.numpy()) / float(last.scale)
    # What an early layer rounds the other way, or limits to the integer next to 6, moves some of
    # what follows by a step.
    assert (steps < 0.01).mean() > (0.97 if fraction else 0.9)
    assert steps.max() < 6
    kinds = {node.op_type for node in onnx.load(tmp_path / 'fused.onnx').graph.node}
    assert ({'QLinearConv', 'QLinearAdd'} <= kinds and 'Conv' not in kinds) == (fraction == 0)
