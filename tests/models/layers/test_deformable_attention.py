"""Sampling between pixels, and attention that projects after it: against loops and against mmcv."""

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch import nn

from rlepose_ext.models.layers.deformable_attention import PostValueDeformableAttention, sample

SIZES = [(6, 8), (3, 4)]  # width, height


def make(dtype=torch.float64, **options):
    attention = PostValueDeformableAttention(8, heads=2, levels=2, points=3, **options)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    return attention.to(dtype)


def inputs(dtype=torch.float64):
    maps = [torch.randn(2, 8, height, width, dtype=dtype) for width, height in SIZES]
    query, reference = torch.randn(2, 5, 8, dtype=dtype), torch.rand(2, 5, 2, dtype=dtype)
    return query, reference, maps


def test_parameters_of_poseur():
    attention = PostValueDeformableAttention()
    assert sum(p.numel() for p in attention.parameters()) == 230_272


def test_sampling_by_hand():
    feature = torch.arange(12.0).view(1, 1, 3, 4)  # 3 rows of 4
    # centre of pixel (2, 1); halfway to its right neighbour; a quarter of a pixel off the left edge
    where = torch.tensor([[2.5 / 4, 1.5 / 3], [3 / 4, 1.5 / 3], [-0.25 / 4, 0.5 / 3]])
    found = sample(feature, where.view(1, 1, 3, 2))[0, 0, 0]
    # three quarters off the map count as 0
    torch.testing.assert_close(found, torch.tensor([6.0, 6.5, 0.0]))
    assert sample(feature + 1, where[None, None, 2:]).item() == pytest.approx(0.25)


@pytest.mark.parametrize('training', [True, False])
def test_equals_a_loop(training):
    attention, (query, reference, maps) = make().train(training), inputs()
    found = attention(query, reference, maps)
    offsets = attention.sampling_offsets(query).view(2, 5, 2, 2, 3, 2)
    weights = attention.attention_weights(query).view(2, 5, 2, 6).softmax(-1).view(2, 5, 2, 2, 3)
    for n in range(2):
        for q in range(5):
            heads = []
            for head in range(2):
                total = torch.zeros(8, dtype=torch.float64)
                for level, (width, height) in enumerate(SIZES):
                    for point in range(3):
                        # pixels, the first one's centre at 0
                        size = torch.tensor([width, height])
                        x, y = reference[n, q] * size + offsets[n, q, head, level, point] - 0.5
                        value = bilinear(maps[level][n], x.item(), y.item())
                        total += weights[n, q, head, level, point] * value
                heads.append(total @ attention.value_weight[head] + attention.value_bias[head])
            expected = attention.output_proj(torch.cat(heads))
            torch.testing.assert_close(found[n, q], expected)


def bilinear(feature, x, y):
    left, top = int(x // 1), int(y // 1)
    value = torch.zeros(feature.shape[0], dtype=feature.dtype)
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            if 0 <= column < feature.shape[2] and 0 <= row < feature.shape[1]:
                value += across * down * feature[:, row, column]
    return value


def test_equals_deformable_detr_within_the_maps():
    """Projecting all pixels first is the same, as long as nothing off the maps is sampled."""
    attention, (query, _, maps) = make(), inputs()
    nn.init.zeros_(attention.sampling_offsets.weight)
    nn.init.uniform_(attention.sampling_offsets.bias, -0.4, 0.4)
    reference = torch.full((2, 5, 2), 0.5, dtype=torch.float64) + torch.rand(2, 5, 2) * 0.1
    where = attention.locations(query, reference, SIZES)
    weights = attention.attention_weights(query).view(2, 5, 2, 6).softmax(-1).view(2, 5, 2, 2, 3)
    pixels = torch.cat([each.flatten(2).transpose(1, 2) for each in maps], dim=1)
    value = torch.einsum('nsc,mcd->nsmd', pixels, attention.value_weight) + attention.value_bias
    shapes = torch.tensor([size[::-1] for size in SIZES])
    expected = multi_scale_deformable_attn_pytorch(value, shapes, where, weights)
    found = attention(query, reference, maps)
    torch.testing.assert_close(found, attention.output_proj(expected))


@pytest.mark.parametrize('training', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_gradients(training):
    attention, (query, reference, maps) = make().train(training), inputs()

    def attend(query, reference, *maps):
        return attention(query, reference, maps)

    operands = [x[:1].requires_grad_() for x in (query[:, :2], reference[:, :2], *maps)]
    assert torch.autograd.gradcheck(attend, operands)


def test_starts_on_squares_around_the_reference_point():
    attention = PostValueDeformableAttention(8, heads=4, levels=2, points=3)
    reference = torch.full((1, 1, 2), 0.5)
    where = attention.locations(torch.randn(1, 1, 8), reference, SIZES)[0, 0]
    for level, size in enumerate(SIZES):
        offsets = (where[:, level] - 0.5) * torch.tensor(size)
        # head by head: right, down, left, up; point by point: one, two, three pixels
        for head, direction in enumerate(([1, 0], [0, 1], [-1, 0], [0, -1])):
            expected = torch.tensor(direction) * torch.tensor([[1.0], [2], [3]])
            torch.testing.assert_close(offsets[head], expected, atol=1e-5, rtol=0)
