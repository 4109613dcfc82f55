"""Semantic graph convolution: by hand in loops, who sees whom, exact totals, bad input."""

from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.utils import get_installed_path
from model_case import randomised
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.layers import COCO_EDGES, SemGCN, SemGraphConv, adjacency
from rlepose_ext.models.layers.sem_gcn import edge_softmax, sem_graph_conv

COCO = adjacency(COCO_EDGES, 17)
# 0 - 1 - 2   3: a chain and a joint without bones
SMALL = adjacency([(0, 1), (1, 2)], 4)
B, IN, OUT = 3, 5, 6


def make(graph: torch.Tensor = SMALL) -> SemGraphConv:
    """A convolution in float64 whose parameters are all random."""
    return randomised(SemGraphConv(IN, OUT, graph), 1).double()


def features(n: int = 4) -> torch.Tensor:
    return torch.randn(B, n, IN, dtype=torch.float64)


def test_coco_edges_are_those_of_the_data_set():
    path = get_installed_path('mmpose') + '/.mim/configs/_base_/datasets/coco.py'
    info = Config.fromfile(path).dataset_info
    names = {point['name']: number for number, point in info['keypoint_info'].items()}
    links = [
        frozenset(names[end] for end in bone['link']) for bone in info['skeleton_info'].values()
    ]
    assert sorted(map(sorted, links)) == sorted(map(sorted, COCO_EDGES))


def test_adjacency():
    assert SMALL.int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert COCO.sum() == 55
    assert torch.equal(COCO, COCO.T)


@pytest.mark.parametrize('graph', [SMALL, COCO])
def test_equals_loops(graph):
    """Section 3.2 of the paper, joint by joint."""
    n = len(graph)
    conv, x = make(graph), features(n)
    w0, w1 = conv.weight.detach()
    edges = iter(conv.edges.tolist())
    logits = {(i, j): next(edges) for i in range(n) for j in range(n) if graph[i, j]}
    for sample, got in zip(x, conv(x), strict=True):
        for i in range(n):
            shares = {j: torch.tensor(logits[i, j]).double().exp() for j in range(n) if graph[i, j]}
            total = sum(shares.values())
            row = conv.bias.detach().clone()
            for j, share in shares.items():
                row += share / total * ((w0 if i == j else w1) @ sample[j])
            torch.testing.assert_close(got[i], row, rtol=1e-6, atol=1e-6)


def test_gradients():
    conv = make()
    positions = conv.positions

    def function(x, weight, edges, bias):
        return sem_graph_conv(x, weight, edge_softmax(edges, positions, 4), bias)

    inputs = (features(), conv.weight, conv.edges, conv.bias)
    assert torch.autograd.gradcheck(
        function, [tensor.detach().requires_grad_() for tensor in inputs]
    )


@pytest.mark.parametrize(('in_dim', 'out_dim', 'hidden', 'total'), [
    (128, 3072, 3072, 95_207_754),
    (384, 384, 768, 5_910_474),
    (512, 512, 1024, 10_501_962),
    (512, 384, 512, 3_023_050),
    (512, 512, 512, 3_154_250),
])  # fmt: skip
def test_totals(in_dim, out_dim, hidden, total):
    empty = patch_init_away(SemGCN, in_dim, out_dim, hidden, COCO)
    assert sum(parameter.numel() for parameter in empty.parameters()) == total
    edges = [p.numel() for name, p in empty.named_parameters() if name.endswith('.edges')]
    assert edges == [55] * 6


def patch_init_away(build, *args):
    """Build without drawing 100 million numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SemGraphConv, 'init_weights', lambda self: None)
        return build(*args)


def test_network_equals_its_equations():
    net = SemGCN(IN, OUT, 8, SMALL).double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    first, pair_a, pair_b, last = net

    def block(module, x):
        y = module.conv(x)
        norm = module.norm
        shape = norm.weight / (norm.running_var + norm.eps).sqrt()
        return ((y - norm.running_mean) * shape + norm.bias).relu()

    x = features()
    y = block(first, x)
    for pair in (pair_a, pair_b):
        y = y + block(pair.blocks[1], block(pair.blocks[0], y))
    torch.testing.assert_close(net(x), last(y))


def test_every_parameter_has_a_gradient_at_batch_size_one():
    net = SemGCN(IN, OUT, 8, SMALL)
    net(torch.randn(1, 4, IN)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        # batch norm removes the mean, and with it b
        if not name.endswith('conv.bias'):
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    net = SemGCN(IN, OUT, 8, COCO)
    x = (100 * torch.randn(B, 17, IN)).requires_grad_()
    with torch.autocast('cpu', dtype):
        out = net(x)
    out.float().sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_a_trace_takes_any_batch():
    net, x = SemGCN(IN, OUT, 8, SMALL).double().eval(), features()
    traced = torch.jit.trace(net, x[:1])
    torch.testing.assert_close(traced(x), net(x))


@pytest.mark.parametrize(('call', 'named'), [
    (partial(adjacency, COCO_EDGES, 14), r'0 to 13.*\(15, 13\)'),
    (partial(adjacency, [(0, 1, 2)], 4), 'pairs'),
    (partial(adjacency, None, 4), 'list'),
    (partial(SemGCN, IN, OUT, 8, SMALL, num_blocks=-1), 'num_blocks'),
])  # fmt: skip
def test_bad_input_is_named(call, named):
    with pytest.raises(UserError, match=named):
        call()
