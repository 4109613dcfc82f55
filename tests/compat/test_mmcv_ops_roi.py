"""RoIAlign and RoIPool against loops over single samples."""

import math

import numpy as np
import pytest
import torch
from mmcv.ops import RoIAlign, RoIPool, roi_align, roi_pool

from rlepose_ext.compat import mmcv_ops

if mmcv_ops.PATCH.status() != 'stand-in active':
    pytest.skip('mmcv is compiled: its own ops are in use', allow_module_level=True)

SCALE = 0.5
# Image, x1, y1, x2, y2: inside, across the border, outside, tiny, tall, whole.
ROIS = [
    [0, 1.3, 2.1, 9.7, 12.2],
    [1, -5.0, -3.0, 8.0, 30.0],
    [1, 40.0, 40.0, 60.0, 60.0],
    [0, 6.2, 6.1, 6.4, 6.3],
    [0, 3.0, 0.0, 5.0, 17.0],
    [1, 0.0, 0.0, 13.0, 17.0],
]


def features():
    return torch.randn(2, 3, 9, 7, dtype=torch.float64)


def sample(plane, y, x):
    """Bilinear, border values up to one pixel outside, then 0."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    total = 0.0
    for row in range(height):
        for column in range(width):
            near = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            total += near * plane[row, column] if near else 0
    return total


def loop_align(feats, rois, size, scale, ratio, mode, aligned):
    out = np.zeros((len(rois), feats.shape[1], *size))
    for k, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (value * scale - (0.5 if aligned else 0) for value in corners)
        w, h = x2 - x1, y2 - y1
        if not aligned:
            w, h = max(w, 1), max(h, 1)
        bin_h, bin_w = h / size[0], w / size[1]
        n_y = ratio if ratio > 0 else math.ceil(bin_h)
        n_x = ratio if ratio > 0 else math.ceil(bin_w)
        for c in range(feats.shape[1]):
            for i in range(size[0]):
                for j in range(size[1]):
                    values = [
                        sample(
                            feats[int(image), c],
                            y1 + (i + (a + 0.5) / n_y) * bin_h,
                            x1 + (j + (b + 0.5) / n_x) * bin_w,
                        )
                        for a in range(n_y)
                        for b in range(n_x)
                    ]
                    pick = np.mean if mode == 'avg' else np.max
                    out[k, c, i, j] = pick(values) if values else 0
    return out


def loop_pool(feats, rois, size, scale):
    """Maximum over the pixels touched; x2, y2 belong to the region."""
    out = np.zeros((len(rois), feats.shape[1], *size))
    height, width = feats.shape[2:]
    for k, (image, x1, y1, x2, y2) in enumerate(rois):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        for i in range(size[0]):
            for j in range(size[1]):
                top = y1 + i * (y2 - y1) / size[0]
                bottom = y1 + (i + 1) * (y2 - y1) / size[0]
                left = x1 + j * (x2 - x1) / size[1]
                right = x1 + (j + 1) * (x2 - x1) / size[1]
                rows = slice(max(math.floor(top), 0), max(min(math.ceil(bottom), height), 0))
                columns = slice(max(math.floor(left), 0), max(min(math.ceil(right), width), 0))
                region = feats[int(image), :, rows, columns]
                if region.size:
                    out[k, :, i, j] = region.max(axis=(1, 2))
    return out


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2])
def test_roi_align_equals_a_loop(mode, aligned, ratio):
    feats, rois = features(), torch.tensor(ROIS, dtype=torch.float64)
    expected = loop_align(feats.numpy(), ROIS, (3, 2), SCALE, ratio, mode, aligned)
    assert np.count_nonzero(expected[[0, 1, 4]])
    got = roi_align(feats, rois, (3, 2), SCALE, ratio, mode, aligned)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    layer = RoIAlign((3, 2), SCALE, ratio, mode, aligned)
    np.testing.assert_allclose(layer(feats.float(), rois.float()), expected, atol=1e-4)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize(
    ('ratio', 'aligned'), [(0, True), pytest.param(2, False, marks=pytest.mark.slow)]
)
def test_roi_align_gradient(mode, ratio, aligned):
    rois = torch.tensor(ROIS[:4], dtype=torch.float64)
    feats = features()[:, :1].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, rois, (3, 2), SCALE, ratio, mode, aligned), feats
    )


def test_roi_align_by_hand():
    # A ramp f(y, x) = 10 y + x; the mean over a region is the value at its middle.
    feats = (10 * torch.arange(8.0)[:, None] + torch.arange(8.0))[None, None]
    rois = torch.tensor([[0, 1.0, 2.0, 5.0, 4.0]])
    assert roi_align(feats, rois, 1, 1.0, 2, 'avg', True).item() == pytest.approx(10 * 2.5 + 2.5)
    assert roi_align(feats, rois, 1, 1.0, 2, 'avg', False).item() == pytest.approx(10 * 3 + 3)
    # Samples of a 4 x 2 region, two each way: y 2.5, 3.5 and x 2, 4.
    assert roi_align(feats, rois, 1, 1.0, 2, 'max', False).item() == pytest.approx(35 + 4)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_without_extent(mode):
    feats = features().requires_grad_()
    point = torch.tensor([[0, 3.0, 3.0, 3.0, 3.0]], dtype=torch.float64)
    out = roi_align(feats, point, 2, 1.0, 0, mode, True)
    out.sum().backward()
    assert not out.any()
    assert not feats.grad.any()


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (7, 7)])
@pytest.mark.parametrize('scale', [0.5, 0.3])
def test_roi_pool_equals_a_loop(size, scale):
    feats, rois = features(), torch.tensor(ROIS, dtype=torch.float64)
    expected = loop_pool(feats.numpy(), ROIS, size, scale)
    assert np.count_nonzero(expected[[0, 1, 3, 4]])
    np.testing.assert_array_equal(roi_pool(feats, rois, size, scale), expected)
    np.testing.assert_array_equal(RoIPool(size, scale)(feats, rois), expected)


def test_roi_pool_gradient():
    feats, rois = features()[:, :2].requires_grad_(), torch.tensor(ROIS, dtype=torch.float64)
    feats.data[:, :, 0, 0] = 5  # a maximum at index 0 of the map
    assert torch.autograd.gradcheck(lambda x: roi_pool(x, rois, (2, 3), SCALE), feats)


def test_roi_pool_of_equal_values_sends_the_gradient_to_the_first():
    feats = torch.zeros(1, 1, 4, 4, requires_grad=True)
    feats.data[0, 0, 0, 2] = feats.data[0, 0, 1, 0] = 1
    roi_pool(feats, torch.tensor([[0, 0.0, 0, 3, 3]]), 1, 1.0).sum().backward()
    assert feats.grad.nonzero().tolist() == [[0, 0, 0, 2]]


def test_roi_pool_without_extent():
    feats = features().requires_grad_()
    # Inside out (x2 + 1 <= x1), and outside the map.
    rois = torch.tensor([[0, 5.0, 5, 3, 3], [0, 50.0, 50, 60, 60]], dtype=torch.float64)
    out = roi_pool(feats, rois, 2, 1.0)
    out.sum().backward()
    assert not out.any()
    assert not feats.grad.any()
