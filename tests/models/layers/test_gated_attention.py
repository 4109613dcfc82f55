"""The gated attention unit: by hand in loops, against MMPose's block, exact totals, bad input."""

import math
from functools import partial

import pytest
import torch
from mmpose.models.utils.rtmcc_block import RTMCCBlock
from model_case import assert_learns, randomised
from torch import nn
from torch.nn.functional import rms_norm

from rlepose_ext.errors import UserError
from rlepose_ext.models.layers import ATTENTION, GatedAttentionUnit, ScaleNorm
from rlepose_ext.models.layers.gated_attention import NORMS

B, N, DIM, E, S = 3, 5, 8, 12, 4
each_attention = pytest.mark.parametrize('attention', sorted(ATTENTION))


def make(**kwargs) -> GatedAttentionUnit:
    """A unit in float64 whose parameters are all random, without dropout."""
    unit = GatedAttentionUnit(DIM, E, S, dropout=0.0, attention_dropout=0.0, **kwargs)
    return randomised(unit, 0.7).double()


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (B, N, DIM)), dtype=torch.float64)


def weights_by_hand(q: list, k: list, kind: str) -> list[list[float]]:
    """Attention of one sample in plain numbers, one row after the other."""
    n, s = len(k), len(k[0])
    rows = []
    for query in q:
        dots = [sum(a * b for a, b in zip(query, key, strict=True)) for key in k]
        if kind == 'relu2':
            rows.append([max(dot / n, 0.0) ** 2 for dot in dots])
            continue
        factor = math.log(n) / math.log(512) if kind == 'softmax_plus' else 1.0
        powers = [math.exp(dot / math.sqrt(s) * factor) for dot in dots]
        rows.append([power / sum(powers) for power in powers])
    return rows


@each_attention
@pytest.mark.parametrize('n', [1, 2, 17])
def test_attention_equals_loops(attention, n):
    q, k = 3 * tokens(B, n, S), 3 * tokens(B, n, S)
    expected = [
        weights_by_hand(*pair, attention) for pair in zip(q.tolist(), k.tolist(), strict=True)
    ]
    torch.testing.assert_close(
        ATTENTION[attention](q, k), torch.tensor(expected, dtype=torch.float64)
    )


@each_attention
def test_attention_gradients(attention):
    q, k = tokens(2, 3, S).requires_grad_(), tokens(2, 3, S).requires_grad_()
    assert torch.autograd.gradcheck(ATTENTION[attention], (q, k))


@each_attention
@pytest.mark.parametrize('offset', [False, True])
def test_unit_equals_loops(attention, offset):
    unit = make(attention=attention, query_offset=offset)
    x = tokens()
    w = {name: parameter.detach() for name, parameter in unit.named_parameters()}
    beta = w.get('beta', torch.zeros(2, S, dtype=torch.float64))
    wu, wv, wz = w['expand.weight'].split([E, E, S])
    for sample, got in zip(x, unit(x), strict=True):
        u, v, z = (nn.functional.silu(sample @ matrix.T) for matrix in (wu, wv, wz))
        q, k = (z * w['gamma'][role] + beta[role] for role in (0, 1))
        weights = weights_by_hand(q.tolist(), k.tolist(), attention)
        for i in range(N):
            mixed = sum(weights[i][j] * v[j] for j in range(N))
            row = sample[i] + w['contract.weight'] @ (u[i] * mixed)
            torch.testing.assert_close(got[i], row / row.square().mean().sqrt())


@pytest.mark.parametrize('norm', NORMS)
def test_unit_gradients(norm):
    unit = make(norm=norm)
    assert torch.autograd.gradcheck(unit, (tokens(2, 3, DIM).requires_grad_(),))


@pytest.mark.parametrize(('dim', 'expansion'), [(DIM, E), (6, 12)])
def test_equals_stock_block(dim, expansion):
    """MMPose divides by sqrt(s), the paper by n: gamma_q and beta_q make up for it."""
    stock = RTMCCBlock(N, dim, dim, expansion / dim, S, use_rel_bias=False).double().eval()
    ours = GatedAttentionUnit(
        dim, expansion, S, attention='relu2', query_offset=True, norm='pre_scale'
    )
    ours.double().eval()
    factor = torch.tensor([[N / math.sqrt(S)], [1.0]], dtype=torch.float64)
    ours.load_state_dict(
        {
            'expand.weight': stock.uv.weight,
            'contract.weight': stock.o.weight,
            'gamma': stock.gamma * factor,
            'beta': stock.beta * factor,
            'scale_norm.g': stock.ln.g,
        }
    )
    x = tokens(B, N, dim)
    torch.testing.assert_close(ours(x), stock(x))


@pytest.mark.parametrize(('sizes', 'total'), [
    ((3072, 6144), 57_016_576),
    ((512, 3072), 4_784_384),
    ((768, 1536), 3_637_504),
    ((192, 384), 246_016),
    ((256, 512), 426_240),
])  # fmt: skip
def test_totals(sizes, total):
    def count(**kwargs) -> int:
        with torch.device('meta'):
            unit = GatedAttentionUnit(*sizes, **kwargs)
        return sum(parameter.numel() for parameter in unit.parameters())

    assert count() == total
    assert count(external_query=True) == total - 128
    assert count(query_offset=True) == total + 256
    assert count(norm='pre_scale') == total + 1


def test_external_query_is_used_as_it_is():
    """A unit fed its own query from outside is the unit that makes it."""
    whole, cross = make(query_offset=True), make(query_offset=True, external_query=True)
    state = whole.state_dict()
    cross.load_state_dict({**state, 'gamma': state['gamma'][1:], 'beta': state['beta'][1:]})
    x = tokens()
    z = nn.functional.silu(whole.expand(x))[..., -S:]
    query = (z * whole.gamma[0] + whole.beta[0]).detach()
    torch.testing.assert_close(cross(x, query), whole(x))
    assert not torch.allclose(cross(x, 2 * query), whole(x))


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_a_trace_takes_any_batch():
    unit, x = make().eval(), tokens()
    traced = torch.jit.trace(unit, x[:1])
    torch.testing.assert_close(traced(x), unit(x))


@pytest.mark.parametrize('norm', NORMS)
def test_options_do_what_they_say(norm):
    unit, bare, x = make(norm=norm), make(norm='none', residual=False), tokens()
    state = unit.state_dict()
    bare.load_state_dict({key: state[key] for key in bare.state_dict()})
    inner = bare(unit.scale_norm(x) if norm == 'pre_scale' else x)
    expected = rms_norm(x + inner, (DIM,)) if norm == 'post_rms' else x + inner
    torch.testing.assert_close(unit(x), expected)


def test_dropout_acts_on_weights_and_output_in_training_only():
    x = tokens()
    for kwargs in ({'dropout': 0.9}, {'attention_dropout': 0.9}):
        unit = GatedAttentionUnit(DIM, E, S, **{'dropout': 0.0, 'attention_dropout': 0.0, **kwargs})
        unit.double()
        assert not torch.allclose(unit(x), unit(x))
        torch.testing.assert_close(unit.eval()(x), unit(x))


@each_attention
def test_every_parameter_has_a_gradient(attention):
    unit = GatedAttentionUnit(DIM, E, S, attention, query_offset=True, norm='pre_scale')
    assert_learns(unit, unit(torch.randn(B, N, DIM)).square().sum())


@each_attention
@pytest.mark.parametrize('norm', NORMS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('scale', [0.0, 1e3])
def test_half_precision_stays_finite(attention, norm, dtype, scale):
    unit = GatedAttentionUnit(DIM, E, S, attention, norm=norm, dropout=0, attention_dropout=0)
    x = (scale * torch.randn(B, N, DIM)).requires_grad_()
    with torch.autocast('cpu', dtype):
        out = unit(x)
    torch.testing.assert_close(out, unit(x), rtol=0.05, atol=0.05 * unit(x).abs().max().item())
    if norm == 'none' and scale > 1:
        return  # its true gradients, up to scale ** 6, are beyond float16
    out.sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in unit.parameters())


def test_an_external_query_in_half_precision():
    unit = GatedAttentionUnit(DIM, E, S, external_query=True, dropout=0, attention_dropout=0)
    x, query = 1e3 * torch.randn(B, N, DIM), 1e3 * torch.randn(B, N, S)
    with torch.autocast('cpu', torch.float16):
        out = unit(x, query.half())
    torch.testing.assert_close(out, unit(x, query), rtol=0.05, atol=0.05)


def test_scale_norm_is_rms_norm_times_one_gain():
    norm, x = ScaleNorm(DIM).double(), tokens()
    nn.init.constant_(norm.g, 0.3)
    assert [parameter.numel() for parameter in norm.parameters()] == [1]
    torch.testing.assert_close(norm(x), 0.3 * rms_norm(x, (DIM,)))
    torch.testing.assert_close(norm(x), 0.3 * math.sqrt(DIM) * x / x.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize(('call', 'named'), [
    (partial(GatedAttentionUnit, DIM, E, attention='cosine'), "attention .*'cosine'"),
    (partial(GatedAttentionUnit, DIM, E, norm='layer'), "norm .*'layer'"),
    (partial(GatedAttentionUnit, DIM, 2.5), 'expansion_dim'),
    (partial(GatedAttentionUnit, DIM, E, dropout=1.0), 'dropout'),
])  # fmt: skip
def test_bad_input_is_named(call, named):
    with pytest.raises(UserError, match=named):
        call()
