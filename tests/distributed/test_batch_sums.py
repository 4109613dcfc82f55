"""Which losses give the same gradient when a batch is divided among processes.

The value of a whole batch is compared with the mean over its two halves, which is what
DistributedDataParallel makes of two ranks. The classes here are the tables of
docs/distributed.md.
"""

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmpose.registry import MODELS as MMPOSE_MODELS

from rlepose_ext.errors import UserError
from rlepose_ext.models.losses import PerSampleLoss
from rlepose_ext.registry import MODELS

N, K, SIZE = 8, 5, 6


def rand(*shape):
    return torch.rand(N, *shape)


def visible(*more):
    """Weights of which the halves of the batch have unequal shares."""
    weights = (torch.rand(N, K) < 0.7).float()
    weights[: N // 2, 0], weights[N // 2 :, 0] = 0, 1
    return weights.view(N, K, *more)


def points():
    return rand(K, 2), rand(K, 2), visible(1)


def wide_points():
    return rand(K, 2), rand(K, 2), visible(1).expand(N, K, 2).contiguous()


def maps():
    return rand(K, SIZE, SIZE), rand(K, SIZE, SIZE), visible()


def vectors():
    labels = [rand(K, 12).softmax(-1) for _ in range(2)]
    return tuple(torch.randn(N, K, 12) for _ in range(2)), tuple(labels), visible()


def scores():
    return rand(K), (torch.rand(N, K) > 0.5).float(), visible()


def poses_with_sigma():
    return rand(K, 2), torch.randn(N, K, 2), rand(K, 2), visible(1)


def boxes():
    corner = rand(2)
    box = torch.cat([corner, corner + 1], 1)
    return box + 0.1 * torch.randn(N, 4), box


def focal_maps():
    pred, target, weights = maps()
    target = 0.9 * target
    target.flatten(2)[torch.arange(N), torch.arange(N) % K, 0] = 1
    return pred.clamp(0.05, 0.95), target, weights


def tags():
    indices = torch.stack([torch.randint(0, SIZE**2, (N, 3, K)), torch.ones(N, 3, K).long()], -1)
    return torch.randn(N, K, SIZE, SIZE), indices


def features():
    return (torch.randn(N, 7),)


def maps_and_teacher():
    return rand(K, SIZE, SIZE), rand(K, SIZE, SIZE)


W = {'use_target_weight': True}
PARENTS = {'joint_parents': [0, 0, 1, 2, 3]}
DISTILL = {'name': '', 'use_this': True}
CHANNELS = {'student_channels': K, 'teacher_channels': K}

# type, options, inputs
MEANS = [
    ('rlepose_ext.RLELoss', W, poses_with_sigma),
    ('rlepose_ext.AdaptiveWingLoss', W, maps),
    ('RLELoss', W, poses_with_sigma),
    ('KeypointMSELoss', W, maps),
    ('KeypointOHKMMSELoss', {**W, 'topk': 3}, maps),
    ('AdaptiveWingLoss', W, maps),
    ('JSDiscretLoss', W, maps),
    ('MLECCLoss', W, vectors),
    ('MLECCLoss', {**W, 'reduction': 'sum'}, vectors),
    ('BCELoss', W, scores),
    ('VariFocalLoss', W, scores),
    ('SmoothL1Loss', W, points),
    ('SoftWeightSmoothL1Loss', W, points),
    ('WingLoss', W, wide_points),
    ('SoftWingLoss', W, wide_points),
    ('L1Loss', W, wide_points),
    ('MSELoss', W, wide_points),
    ('MPJPELoss', W, points),
    ('OKSLoss', {}, lambda: (rand(K, 2), rand(K, 2), visible())),
    ('IoULoss', {}, boxes),
    ('FeaLoss', {**DISTILL, **CHANNELS}, maps_and_teacher),
]
SUMS = [
    ('KLDiscretLoss', W, vectors),
    ('AssociativeEmbeddingLoss', {}, tags),
    ('RLELoss', {**W, 'size_average': False}, poses_with_sigma),
    ('rlepose_ext.RLELoss', {**W, 'size_average': False}, poses_with_sigma),
    ('JSDiscretLoss', {**W, 'size_average': False}, maps),
    ('BCELoss', {**W, 'reduction': 'sum'}, scores),
    ('VariFocalLoss', {**W, 'reduction': 'sum'}, scores),
    ('L1Loss', {**W, 'reduction': 'sum'}, wide_points),
    ('IoULoss', {'reduction': 'sum'}, boxes),
    ('OKSLoss', {'reduction': 'sum'}, lambda: (rand(K, 2), rand(K, 2), visible())),
]
NEITHER = [
    ('FocalHeatmapLoss', W, focal_maps),
    ('SoftWeightSmoothL1Loss', {**W, 'supervise_empty': False}, points),
    ('BoneLoss', PARENTS, points),
    ('InfoNCELoss', {}, features),
]


def cases(table):
    return pytest.mark.parametrize(
        ('kind', 'options', 'inputs'),
        [pytest.param(*row, id=f'{row[0]} {row[1]}') for row in table],
    )


def total(value):
    """The scalar that MMEngine adds up for a loss: the mean of a tensor, the sum of a tuple."""
    return sum(part.mean() for part in value) if isinstance(value, tuple) else value.mean()


def part_of(value, rows):
    if isinstance(value, (list, tuple)):
        return type(value)(part_of(each, rows) for each in value)
    return value[rows].clone()


def whole_and_halves(kind, options, inputs):
    registry = MODELS if kind.startswith('rlepose_ext') else MMPOSE_MODELS
    loss = registry.build({'type': kind, **options})
    batch = inputs()
    halves = [part_of(batch, rows) for rows in (slice(0, N // 2), slice(N // 2, N))]
    return (total(loss(*part_of(each, slice(None)))).item() for each in (batch, *halves))


@cases(MEANS)
def test_means_follow(kind, options, inputs):
    whole, first, second = whole_and_halves(kind, options, inputs)
    assert (first + second) / 2 == pytest.approx(whole, rel=1e-5)
    assert abs(first - second) > 1e-6, 'the halves do not differ, nothing was tested'


@cases(SUMS)
def test_sums_are_divided_by_the_number_of_processes(kind, options, inputs):
    whole, first, second = whole_and_halves(kind, options, inputs)
    assert first + second == pytest.approx(whole, rel=1e-5)


@cases(NEITHER)
def test_losses_that_depend_on_the_whole_batch(kind, options, inputs):
    """Divided by a count over the batch, or not additive: no factor makes them follow."""
    whole, first, second = whole_and_halves(kind, options, inputs)
    for factor in (0.5, 1):
        assert abs(factor * (first + second) / whole - 1) > 1e-3


@cases(SUMS[:2])
def test_wrapper_makes_a_sum_follow(kind, options, inputs):
    wrapped = {'loss': {'type': kind, **options}}
    whole, first, second = whole_and_halves('rlepose_ext.PerSampleLoss', wrapped, inputs)
    assert (first + second) / 2 == pytest.approx(whole, rel=1e-5)


def test_wrapper_is_the_loss_itself_at_its_batch_size():
    inputs = vectors()
    stock = {'type': 'KLDiscretLoss', **W}
    plain = MMPOSE_MODELS.build(stock)(*inputs)
    assert torch.equal(PerSampleLoss(stock, batch_size=N)(*inputs), plain)
    # twice the samples, each twice: the same scale
    doubled = part_of(inputs, torch.arange(N).repeat(2))
    assert PerSampleLoss(stock, batch_size=N)(*doubled).item() == pytest.approx(plain.item())
    assert PerSampleLoss(stock)(*inputs).item() == pytest.approx(plain.item() / N)
    with pytest.raises(UserError, match='batch_size'):
        PerSampleLoss(stock, batch_size=0)


def test_wrapper_returns_what_the_loss_returns_and_passes_gradients():
    pull, push = PerSampleLoss({'type': 'AssociativeEmbeddingLoss'})(*tags())
    assert pull.ndim == push.ndim == 0
    pred = torch.randn(N, K, 12, requires_grad=True)
    loss = PerSampleLoss({'type': 'KLDiscretLoss', **W}, batch_size=2 * N)
    labels = rand(K, 12).softmax(-1)
    loss(pred_simcc=(pred, pred), gt_simcc=(labels, labels), target_weight=visible()).backward()
    assert pred.grad.abs().sum() > 0


def test_sampler_deals_the_batches_of_one_process(monkeypatch):
    """Shuffled too: iteration k of W ranks has the samples of iteration k of one process."""

    def batches(rank, world, size):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world))
        order = list(DefaultSampler(range(24), shuffle=True, seed=3))
        return [order[i : i + size] for i in range(0, len(order), size)]

    whole = batches(0, 1, 8)
    ranks = [batches(rank, 4, 2) for rank in range(4)]
    for k, batch in enumerate(whole):
        assert sorted(batch) == sorted(index for each in ranks for index in each[k])
