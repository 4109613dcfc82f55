"""What makes a network fast leaves its values and its weights what they are."""

import copy

import pytest
import torch
from torch import nn

from rlepose_ext.inference.network import pointwise_by_onednn


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason='torch without oneDNN')
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_pointwise_convolutions(layout, one_thread):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(5, 24, 1),
        nn.Conv2d(24, 24, 1, groups=4, bias=False),
        nn.Conv2d(24, 16, 1, stride=2),
        nn.Conv2d(16, 8, 3),
    )
    x = torch.randn(3, 5, 40, 30).to(memory_format=layout)
    fast = copy.deepcopy(model)
    pointwise_by_onednn(fast)
    called = torch.export.export(fast, (x,)).graph_module.code
    assert 'mkldnn' not in called
    assert 'conv2d' in called
    with torch.profiler.profile() as profile, torch.inference_mode():
        found = fast(x)
    assert 'aten::_slow_conv2d_forward' not in {each.key for each in profile.key_averages()}
    torch.testing.assert_close(found, model(x), rtol=1e-5, atol=1e-5)
    assert list(fast.state_dict()) == list(model.state_dict())
    with torch.autocast('cpu', torch.bfloat16):
        assert fast(x).dtype == torch.bfloat16
    assert fast.double()(x.double()).dtype == torch.float64
