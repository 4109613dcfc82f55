"""All operators of the stand-in: in 16 bits, without input, and on a GPU.

That their values and gradients are right in 64 bits is shown by kind of operator, in
``test_mmcv_ops_*.py``.
"""

import pytest
import torch
from mmcv.ops import (
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    nms_match,
    roi_align,
    roi_pool,
    sigmoid_focal_loss,
    soft_nms,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import randn

from rlepose_ext.compat import mmcv_ops

if mmcv_ops.PATCH.status() != 'stand-in active':
    pytest.skip('mmcv is compiled: its own ops are in use', allow_module_level=True)

SHAPES = torch.tensor([[4, 3], [2, 5]])
# Image, x1, y1, x2, y2: inside, across the border, outside, tiny.
ROIS = torch.tensor(
    [
        [0, 1.3, 2.1, 9.7, 12.2],
        [1, -5.0, -3.0, 8.0, 30.0],
        [1, 40.0, 40.0, 60.0, 60.0],
        [0, 6.2, 6.1, 6.4, 6.3],
    ]
)
NO_ROIS, NO_LABELS = torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)


def attention(value, locations, weights):
    shapes, start = SHAPES.to(value.device), torch.tensor([0, 12], device=value.device)
    return MultiScaleDeformableAttnFunction.apply(value, shapes, start, locations, weights, 64)


def focal(logits):
    target = torch.tensor([0, 1, 2, 3, 4, 4, 2], device=logits.device)  # 4 is background
    return sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')


def boxes():
    corner = torch.tensor([0.0, 40, 90])[torch.randint(3, (40, 2))] + 15 * torch.rand(40, 2)
    return torch.cat([corner, corner + 5 + 25 * torch.rand(40, 2)], 1), torch.randperm(40) / 40.0


# The operator, and a function that draws its inputs.
DCN = lambda: (randn(2, 4, 6, 5), 1.5 * randn(2, 18, 6, 5), randn(6, 4, 3, 3))  # noqa: E731
MAPS = lambda: (randn(2, 3, 9, 7), ROIS)  # noqa: E731
OPS = {
    'deform_conv2d': (lambda x, offset, w: deform_conv2d(x, offset, w, 1, 1), DCN),
    'modulated_deform_conv2d': (
        lambda x, offset, w, mask, b: modulated_deform_conv2d(x, offset, mask, w, b, 1, 1),
        lambda: (*DCN(), torch.rand(2, 9, 6, 5), randn(6)),
    ),
    'deformable attention': (
        attention,
        lambda: (
            randn(2, 22, 2, 3),
            1.4 * torch.rand(2, 4, 2, 2, 3, 2) - 0.2,  # some outside
            randn(2, 4, 2, 6).softmax(-1).view(2, 4, 2, 2, 3),
        ),
    ),
    'roi_align, mean': (lambda x, r: roi_align(x, r, (3, 2), 0.5, 2, 'avg', True), MAPS),
    'roi_align, maximum': (lambda x, r: roi_align(x, r, (3, 2), 0.5, 0, 'max', True), MAPS),
    'roi_pool': (lambda x, r: roi_pool(x, r, (3, 2), 0.5), MAPS),
    'sigmoid_focal_loss': (focal, lambda: (3 * randn(7, 4),)),
    'nms': (lambda *b: nms(*b, 0.3)[0], boxes),
    'nms with offset': (lambda *b: nms(*b, 0.3, 1)[0], boxes),
    'soft_nms': (lambda *b: soft_nms(*b)[0], boxes),
}
WITHOUT_GRADIENT = {'soft_nms'}


def run(name, inputs):
    """Output, and gradients of the inputs that have one."""
    inputs = [x.detach().clone().requires_grad_(name not in WITHOUT_GRADIENT) for x in inputs]
    out = OPS[name][0](*inputs)
    if name in WITHOUT_GRADIENT:
        return [out]
    factors = torch.arange(out.numel(), device=out.device, dtype=torch.float64) / out.numel()
    (out * factors.view_as(out).to(out)).sum().backward()
    return [out.detach(), *(x.grad for x in inputs if x.grad is not None)]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', [name for name in OPS if name not in WITHOUT_GRADIENT])
def test_in_16_bits(name, dtype):
    """Rounded once, at the end: as in 64 bits on the same inputs."""
    inputs = [x.to(dtype) for x in OPS[name][1]()]
    out, *gradients = run(name, inputs)
    expected, *others = run(name, [x.double() for x in inputs])
    assert len(gradients) == len(others) > 0
    assert all(x.dtype == dtype for x in (out, *gradients))
    error = (out.double() - expected).abs() / expected.abs().clamp(min=1)
    assert error.max() < torch.finfo(dtype).eps
    assert all(x.isfinite().all() for x in gradients)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
@pytest.mark.parametrize('name', OPS)
def test_on_cuda(name):
    inputs = [x.double() for x in OPS[name][1]()]
    for cuda, cpu in zip(run(name, [x.cuda() for x in inputs]), run(name, inputs), strict=True):
        assert cuda.is_cuda
        torch.testing.assert_close(cuda.cpu(), cpu)


@pytest.mark.parametrize(('op', 'shape'), [
    (lambda x: roi_align(x, NO_ROIS, 2, 1.0, 0, 'avg', True), (0, 3, 2, 2)),
    (lambda x: roi_align(x, NO_ROIS, 2, 1.0, 0, 'max', True), (0, 3, 2, 2)),
    (lambda x: roi_pool(x, NO_ROIS, 2, 1.0), (0, 3, 2, 2)),
    (lambda x: nms(x[0, 0, :0, :4], x[0, 0, :0, 0], 0.5)[0], (0, 5)),
    (lambda x: sigmoid_focal_loss(x[0, 0, :0], NO_LABELS, 2.0, 0.25, None, 'sum'), ()),
])  # fmt: skip
def test_without_input(op, shape):
    x = randn(2, 3, 9, 7, requires_grad=True)
    out = op(x)
    assert out.shape == shape
    out.sum().backward()
    assert not x.grad.any()


def test_nms_without_boxes():
    assert soft_nms(torch.zeros(0, 4), torch.zeros(0))[0].shape == (0, 5)
    assert nms_match(torch.zeros(0, 5), 0.3) == []
