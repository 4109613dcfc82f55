"""NMS ops against loops over single boxes, written from the papers."""

import math

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms, nms_match, soft_nms

from rlepose_ext.compat import mmcv_ops

if mmcv_ops.PATCH.status() != 'stand-in active':
    pytest.skip('mmcv is compiled: its own ops are in use', allow_module_level=True)


def overlap(a, b, offset=0):
    w = min(a[2], b[2]) - max(a[0], b[0]) + offset
    h = min(a[3], b[3]) - max(a[1], b[1]) + offset
    inter = max(w, 0) * max(h, 0)
    area = sum((c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b))
    return inter / (area - inter) if area > inter else 0.0


def loop_nms(boxes, scores, threshold, offset=0):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(overlap(boxes[j], boxes[i], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def loop_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset=0):
    scores, left, kept = list(scores), list(range(len(scores))), []
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        left.remove(best)
        kept.append((best, scores[best]))
        for i in left:
            u = overlap(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                scores[i] *= math.exp(-u * u / sigma)
            elif u >= threshold:
                scores[i] *= 1 - u if method == 'linear' else 0
        left = [i for i in left if scores[i] >= min_score]
    return kept


def crowd(n, seed=0, dtype=np.float32):
    """Boxes in a few clumps, so that many overlap by all amounts."""
    rng = np.random.default_rng(seed)
    corner = rng.choice([0.0, 40.0, 90.0], (n, 2)) + rng.uniform(0, 15, (n, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 30, (n, 2))], 1)
    return boxes.astype(dtype), rng.permutation(n).astype(dtype) / n


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.3, 0.65])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_nms_equals_a_loop(offset, threshold, dtype):
    boxes, scores = crowd(60, dtype=dtype)
    expected = loop_nms(boxes.tolist(), scores.tolist(), threshold, offset)
    assert 3 < len(expected) < 58
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == expected
    np.testing.assert_array_equal(dets, np.c_[boxes, scores][expected])

    dets, kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, offset=offset)
    assert kept.tolist() == expected
    assert kept.dtype == torch.long


def test_nms_offset_changes_the_overlap():
    boxes = torch.tensor([[0.0, 0, 3, 3], [2.0, 0, 5, 3]])  # 1/5 without, 8/24 with offset
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.25, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.25, offset=1)[1].tolist() == [0]


@pytest.mark.parametrize(('size', 'threshold'), [(6, 0.6), (3, 0.3), (7, 0.7), (8, 0.8)])
def test_nms_overlap_equal_to_the_threshold_does_not_suppress(size, threshold):
    # float32(0.6) is larger than the double 0.6.
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, size, 1]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, threshold)[1].tolist() == [0, 1]
    assert nms(boxes, scores, threshold - 1e-6)[1].tolist() == [0]


def test_nms_edge_cases():
    assert nms(torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([0.1]), 0.5)[1].tolist() == [0]
    # Equal scores: the earlier box wins. Boxes without area never suppress each other.
    same = torch.tensor([[0.0, 0, 4, 4]]).repeat(5, 1)
    assert nms(same, torch.ones(5), 0.5)[1].tolist() == [0]
    flat = torch.tensor([[1.0, 1, 1, 1]]).repeat(3, 1)
    assert nms(flat, torch.tensor([0.1, 0.3, 0.2]), 0.5)[1].tolist() == [1, 2, 0]


def test_nms_score_threshold_and_max_num():
    boxes, scores = crowd(60)
    kept = loop_nms(boxes.tolist(), scores.tolist(), 0.4)
    above = [i for i in kept if scores[i] > 0.5]
    assert 2 < len(above) < len(kept)
    boxes, scores = torch.from_numpy(boxes), torch.from_numpy(scores)
    assert nms(boxes, scores, 0.4, score_threshold=0.5)[1].tolist() == above
    assert nms(boxes, scores, 0.4, score_threshold=0.5, max_num=2)[1].tolist() == above[:2]
    assert nms(boxes, scores, 0.4, max_num=3)[1].tolist() == kept[:3]
    assert nms(boxes, scores, 0.4, score_threshold=2.0)[1].tolist() == []


@pytest.mark.parametrize('split', [10000, 20])
def test_batched_nms_keeps_classes_apart(split):
    boxes, scores = crowd(60)
    labels = np.arange(60) % 3
    expected = []
    for label in range(3):
        index = np.flatnonzero(labels == label)
        kept = loop_nms(boxes[index].tolist(), scores[index].tolist(), 0.3)
        expected += index[kept].tolist()
    expected.sort(key=lambda i: -scores[i])
    assert len(expected) > len(loop_nms(boxes.tolist(), scores.tolist(), 0.3))
    tensors = [torch.from_numpy(x) for x in (boxes, scores, labels)]
    config = {'type': 'nms', 'iou_threshold': 0.3, 'split_thr': split}
    dets, kept = batched_nms(*tensors, config)
    assert kept.tolist() == expected
    torch.testing.assert_close(dets[:, :4], tensors[0][kept])
    dets, kept = batched_nms(*tensors, {**config, 'max_num': 4})
    assert kept.tolist() == expected[:4]
    dets, kept = batched_nms(*tensors, config, class_agnostic=True)
    if split == 10000:  # mmcv splits by class even where it should not
        assert kept.tolist() == loop_nms(boxes.tolist(), scores.tolist(), 0.3)


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('min_score', [0.0, 0.05, 0.4])
def test_soft_nms_equals_a_loop(method, offset, min_score):
    boxes, scores = crowd(40, dtype=np.float64)
    expected = loop_soft_nms(boxes.tolist(), scores.tolist(), 0.3, 0.5, min_score, method, offset)
    assert 2 < len(expected) <= 40
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
    if min_score == 0 and method == 'naive':  # the rest is a tie at score 0
        n = sum(score > 0 for _, score in expected)
        assert sorted(kept.tolist()) == list(range(40))
        dets, kept, expected = dets[:n], kept[:n], expected[:n]
    assert kept.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(dets[:, 4], [score for _, score in expected], atol=1e-12)
    np.testing.assert_array_equal(dets[:, :4], boxes[kept])


def test_soft_nms_values_by_hand():
    # Overlap of the second box with the first: 6 / 10; the third lies apart.
    boxes = np.array([[0, 0, 10, 1], [0, 0, 6, 1], [20, 20, 30, 30]], np.float32)
    scores = np.array([0.9, 0.8, 0.5], np.float32)
    dets, kept = soft_nms(boxes, scores, 0.6, method='linear')
    assert kept.tolist() == [0, 2, 1]
    np.testing.assert_allclose(dets[:, 4], [0.9, 0.5, 0.8 * 0.4], rtol=1e-6)
    dets, kept = soft_nms(boxes, scores, 0.61, method='linear')
    np.testing.assert_allclose(dets[:, 4], [0.9, 0.8, 0.5], rtol=1e-6)
    dets, kept = soft_nms(boxes, scores, sigma=0.25, method='gaussian')
    np.testing.assert_allclose(dets[1:, 4], [0.5, 0.8 * math.exp(-1.44)], rtol=1e-6)
    assert soft_nms(boxes, scores, 0.6, method='naive')[1].tolist() == [0, 2]


def test_soft_nms_edge_cases():
    # The best box stays, even below min_score; equal boxes keep their order.
    box = torch.tensor([[0.0, 0, 4, 4]])
    assert soft_nms(box, torch.tensor([1e-4]), min_score=0.5)[1].tolist() == [0]
    dets, kept = soft_nms(box.repeat(3, 1), torch.ones(3), 0.3, method='gaussian', min_score=0.0)
    assert kept.tolist() == [0, 1, 2]
    torch.testing.assert_close(dets[:, 4], torch.tensor([1, math.exp(-2), math.exp(-4)]))
    # Boxes without area: no overlap, and no NaN.
    flat = torch.tensor([[1.0, 1, 1, 1]]).repeat(3, 1)
    dets, kept = soft_nms(flat, torch.tensor([0.2, 0.4, 0.0]), method='gaussian')
    assert kept.tolist() == [1, 0]
    torch.testing.assert_close(dets[:, 4], torch.tensor([0.4, 0.2]))


def test_soft_nms_through_batched_nms():
    boxes, scores = (torch.from_numpy(x) for x in crowd(30))
    labels = torch.arange(30) % 2
    config = {'type': 'soft_nms', 'iou_threshold': 0.3, 'min_score': 0.05}
    dets, kept = batched_nms(boxes, scores, labels, config)
    expected = []
    for label in (0, 1):
        index = (labels == label).nonzero().squeeze(1).tolist()
        kept_ = loop_soft_nms(
            boxes[index].tolist(), scores[index].tolist(), 0.3, 0.5, 0.05, 'linear'
        )
        expected += [(index[i], score) for i, score in kept_]
    expected.sort(key=lambda pair: -pair[1])
    assert kept.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(dets[:, 4], [score for _, score in expected], rtol=1e-5)


@pytest.mark.parametrize('as_tensor', [False, True])
def test_nms_match_equals_a_loop(as_tensor):
    boxes, scores = crowd(40)
    left = sorted(range(40), key=lambda i: -scores[i])
    expected = []
    while left:
        group = [i for i in left if overlap(boxes[left[0]], boxes[i]) >= 0.3]
        expected.append(group)
        left = [i for i in left if i not in group]
    assert 3 < len(expected) < 40
    dets = np.c_[boxes, scores]
    groups = nms_match(torch.from_numpy(dets) if as_tensor else dets, 0.3)
    assert [group.tolist() for group in groups] == expected


def test_nms_match_at_the_threshold_suppresses():
    dets = torch.tensor([[0.0, 0, 10, 1, 0.9], [0, 0, 6, 1, 0.8]])
    assert [g.tolist() for g in nms_match(dets, 0.6)] == [[0, 1]]
    assert [g.tolist() for g in nms_match(dets, 0.61)] == [[0], [1]]
