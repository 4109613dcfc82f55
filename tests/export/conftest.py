"""Small models with random weights, and their ONNX files."""

import pytest
import torch
from mmpose.apis import init_model

from rlepose_ext.resources import resource

SMALL = {
    'rle': 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py',
    'tokenpose': 'configs/tokenpose/tokenpose_tiny_1xb16-8e_synthetic-96x72.py',
    'simcc': 'configs/quickstart/simcc_resnet18-slim_1xb16-2e_synthetic-96x72.py',
}


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """By the name of the method: config and checkpoint, as texts."""
    folder, found = tmp_path_factory.mktemp('trained'), {}
    for name, config in SMALL.items():
        torch.manual_seed(0)
        model = init_model(str(resource(config)), device='cpu')
        path = folder / f'{name}.pth'
        meta = {'dataset_meta': dict(model.dataset_meta)}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
        found[name] = (str(resource(config)), str(path))
    return found


@pytest.fixture(scope='session')
def exported(trained, tmp_path_factory):
    """The RLE model as a file, and what the command printed."""
    pytest.importorskip('onnxscript', reason='needs the extra [export]')
    from rlepose_ext.export.onnx import export_onnx

    return export_onnx(*trained['rle'], tmp_path_factory.mktemp('exported') / 'model.onnx')
