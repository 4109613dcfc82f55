"""ViTBackbone against torch's own encoder layers, the zoo's names and shapes, other grids."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmpose.engine.optim_wrappers.layer_decay_optim_wrapper import LayerDecayOptimWrapperConstructor
from model_case import randomised
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import ViTBackbone
from rlepose_ext.models.backbones.vit import (
    ARCHITECTURES,
    WIDTHS,
    fit_positions,
    guess_grid,
    resize_grid,
)
from rlepose_ext.models.layers.vit_block import ViTBlock
from rlepose_ext.registry import MODELS

TINY = dict(zip(WIDTHS, (24, 3, 4, 48), strict=True))
SIZE = (64, 48)  # 4 x 3 patches


def tiny(**kwargs):
    return randomised(ViTBackbone(TINY, SIZE, **kwargs), 0.2).double()


def torchs_own(block):
    """torch.nn.TransformerEncoderLayer with a block's weights."""
    dim, hidden = block.ffn.layers[1].weight.shape
    layer = nn.TransformerEncoderLayer(
        dim,
        block.attn.num_heads,
        hidden,
        dropout=0.0,
        activation='gelu',
        layer_norm_eps=1e-6,
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    names = {
        'self_attn.in_proj_': 'attn.qkv.',
        'self_attn.out_proj.': 'attn.proj.',
        'linear1.': 'ffn.layers.0.0.',
        'linear2.': 'ffn.layers.1.',
        'norm1.': 'ln1.',
        'norm2.': 'ln2.',
    }
    state = block.state_dict()
    layer.load_state_dict(
        {a + p: state[b + p] for a, b in names.items() for p in ('weight', 'bias')}, strict=True
    )
    return layer


def zoo_shapes(dim, depth, hidden, positions):
    """Names and shapes that a backbone of MMPose's ViTPose zoo has, as mmpretrain writes them."""
    linear = {'attn.qkv': (3 * dim, dim), 'attn.proj': (dim, dim)}
    linear |= {'ffn.layers.0.0': (hidden, dim), 'ffn.layers.1': (dim, hidden)}
    shapes = {'pos_embed': (1, positions, dim), 'ln1.weight': (dim,), 'ln1.bias': (dim,)}
    shapes['patch_embed.projection.weight'] = (dim, 3, 16, 16)
    shapes['patch_embed.projection.bias'] = (dim,)
    for i in range(depth):
        for name, shape in linear.items():
            shapes[f'layers.{i}.{name}.weight'] = shape
            shapes[f'layers.{i}.{name}.bias'] = shape[:1]
        for name in ('ln1', 'ln2'):
            shapes[f'layers.{i}.{name}.weight'] = shapes[f'layers.{i}.{name}.bias'] = (dim,)
    return shapes


@pytest.mark.parametrize(
    ('arch', 'total'),
    [('small', 21_663_360), ('base', 85_794_048), ('large', 303_295_488), ('huge', 630_910_720)],
)
def test_totals_names_and_shapes_of_the_zoo(arch, total):
    with torch.device('meta'):
        model = MODELS.build({'type': 'rlepose_ext.ViTBackbone', 'arch': arch})
    assert sum(p.numel() for p in model.parameters()) == total
    dim, depth, _, hidden = ARCHITECTURES[arch]
    layer = 4 * dim * (dim + 1) + 2 * dim * hidden + hidden + dim + 4 * dim
    assert total == dim * 769 + depth * layer + 192 * dim + 2 * dim
    ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert ours == zoo_shapes(dim, depth, hidden, 192)
    assert model.out_channels == (dim,)
    state = {k: torch.empty(v, device='meta') for k, v in ours.items()}
    model.load_state_dict(state, strict=True, assign=True)


def test_a_block_is_torchs_encoder_layer():
    block = ViTBlock(24, 4, 48).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    reference = torchs_own(block)
    torch.testing.assert_close(block(x), reference(x), rtol=1e-10, atol=1e-10)
    reference.eval()
    torch.testing.assert_close(block.eval()(x), reference(x), rtol=1e-10, atol=1e-10)


def test_the_network_by_formulas():
    model = tiny().eval()
    image = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    padded = F.pad(image, (2, 2, 2, 2))
    weight, bias = model.patch_embed.projection.weight, model.patch_embed.projection.bias
    tokens = []
    for row in range(4):
        for column in range(3):
            patch = padded[:, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            tokens.append(patch.flatten(1) @ weight.flatten(1).T + bias)
    x = torch.stack(tokens, dim=1) + model.pos_embed
    for layer in model.layers:
        x = torchs_own(layer)(x)
    centred = x - x.mean(-1, keepdim=True)
    x = centred / (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    x = x * model.ln1.weight + model.ln1.bias
    (got,) = model(image)
    assert got.shape == (2, 24, 4, 3)
    for row in range(4):
        for column in range(3):
            torch.testing.assert_close(got[:, :, row, column], x[:, 3 * row + column])


def test_gradients_checkpointing_and_memory_layout(assert_same_in_nhwc):
    model = tiny(drop_path_rate=0.0)
    image = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    assert_same_in_nhwc(model, image)
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    assert all(grad.any() for grad in before.values())
    model.with_cp = True
    model.zero_grad()
    model(image)[0].square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, before[name])


def test_stochastic_depth_grows_with_depth():
    model = ViTBackbone(TINY, SIZE, drop_path_rate=0.3)
    assert [layer.drop_path.drop_prob for layer in model.layers] == pytest.approx([0, 0.15, 0.3])
    block = ViTBlock(24, 4, 48, drop_path=0.5).double()
    x = torch.randn(4000, 1, 24, dtype=torch.float64)
    reached = (block(x) - x).abs().sum((1, 2))
    # both branches are left out in a quarter of the samples
    assert 0.22 < (reached == 0).double().mean() < 0.28
    assert (block.eval()(x) - x).abs().sum((1, 2)).min() > 0


def test_initial_weights():
    model = ViTBackbone('small')
    model.init_weights()
    for name, value in model.named_parameters():
        if name.endswith('bias'):
            assert not value.any()
        elif 'ln' in name:
            assert (value == 1).all()
        else:
            assert value.std().item() == pytest.approx(0.02, rel=0.15), name


@pytest.mark.parametrize(('places', 'like', 'grid'), [
    (192, (16, 12), (16, 12)),
    (196, (16, 12), (14, 14)),
    (432, (16, 12), (24, 18)),
    (197, (16, 12), None),
])  # fmt: skip
def test_guess_grid(places, like, grid):
    assert guess_grid(places, like) == grid


def cubic_matrix(old, new):
    """Row i: how much each of ``old`` places counts in place i of ``new``; Keys, a = -0.75."""
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        centre = (i + 0.5) * old / new - 0.5
        first = math.floor(centre) - 1
        for place in range(first, first + 4):
            t = abs(centre - place)
            near = 1.25 * t**3 - 2.25 * t**2 + 1
            far = -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
            matrix[i, min(max(place, 0), old - 1)] += near if t <= 1 else far
    return matrix


@pytest.mark.parametrize(('old', 'new'), [((14, 14), (16, 12)), ((16, 12), (24, 18))])
def test_resizing_by_the_cubic_kernel(old, new):
    embedding = torch.randn(1, old[0] * old[1], 5, dtype=torch.float64)
    maps = embedding[0].unflatten(0, old)
    rows, columns = cubic_matrix(old[0], new[0]), cubic_matrix(old[1], new[1])
    expected = torch.einsum('ir,rcd,jc->ijd', rows, maps, columns)
    got = resize_grid(embedding, old, new)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got[0].unflatten(0, new), expected, rtol=1e-5, atol=1e-5)


def test_positions_of_a_fitting_file_are_not_touched():
    embedding = torch.randn(1, 192, 8)
    for given, steps in ((embedding, 0), (torch.cat([torch.zeros(1, 1, 8), embedding], 1), 1)):
        got, done = fit_positions(given, (16, 12), class_first=False)
        assert torch.equal(got, embedding)
        assert len(done) == steps
    for shape, said in (((1, 195, 8), '195 positions.*16 x 12'), ((192, 8), 'expected shape')):
        with pytest.raises(UserError, match=said):
            fit_positions(torch.randn(shape), (16, 12), False)


def mae_file(path):
    """A file as MAE pre-training on 224 x 224 leaves it: class token, 14 x 14 positions."""
    shapes = zoo_shapes(24, 3, 48, 197)
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    state['cls_token'] = torch.randn(1, 1, 24)
    torch.save({'state_dict': state}, path)
    return state


def test_pretrained_file_with_class_token_and_square_grid(tmp_path, caplog):
    MMLogger.get_current_instance().addHandler(caplog.handler)
    state = mae_file(tmp_path / 'mae.pth')
    init = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'mae.pth')}
    model = ViTBackbone(TINY, (256, 192), init_cfg=init)
    model.init_weights()
    expected = resize_grid(state['pos_embed'][:, 1:], (14, 14), (16, 12))
    assert torch.equal(model.pos_embed, expected)
    assert torch.equal(model.layers[2].attn.qkv.weight, state['layers.2.attn.qkv.weight'])
    assert 'bicubic' in caplog.text


def test_layer_decay_finds_the_layers():
    model = nn.ModuleDict({'backbone': ViTBackbone(TINY, SIZE), 'head': nn.Conv2d(24, 17, 1)})
    assert LayerDecayOptimWrapperConstructor
    wrapper = build_optim_wrapper(
        model,
        {
            'type': 'OptimWrapper',
            'optimizer': {'type': 'AdamW', 'lr': 5e-4, 'weight_decay': 0.1},
            'constructor': 'LayerDecayOptimWrapperConstructor',
            'paramwise_cfg': {'num_layers': 3, 'layer_decay_rate': 0.75},
        },
    )
    found = {}
    for group in wrapper.optimizer.param_groups:
        for name in group['param_names']:
            found[name] = (group['lr'], group['weight_decay'])
    names = dict(model.named_parameters())
    assert set(found) == set(names)
    for name, (lr, decay) in found.items():
        # depth 0: patches and positions; 1 to 3: layers; 4: what comes behind them
        depth = 4
        if 'embed' in name:
            depth = 0
        elif '.layers.' in name and name.startswith('backbone.layers'):
            depth = 1 + int(name.split('.')[2])
        assert lr == pytest.approx(5e-4 * math.pow(0.75, 4 - depth)), name
        flat = names[name].ndim == 1 or name == 'backbone.pos_embed'
        assert decay == (0.0 if flat else 0.1), name


@pytest.mark.parametrize(('options', 'message'), [
    ({'arch': 'b'}, 'arch'),
    ({'arch': {'embed_dims': 24}}, 'feedforward_channels'),
    ({'arch': TINY | {'num_heads': 5}}, 'multiple of num_heads'),
    ({'img_size': (256, 192, 3)}, 'img_size'),
    ({'img_size': (8, 8)}, 'patch_rows'),
    ({'drop_path_rate': 1.0}, 'drop_path_rate'),
])  # fmt: skip
def test_bad_arguments(options, message):
    with pytest.raises(UserError, match=message), torch.device('meta'):
        ViTBackbone(**({'arch': TINY} | options))


def test_other_image_sizes_are_refused():
    with pytest.raises(UserError, match='height 64 and width 48, got 48 and 64'):
        ViTBackbone(TINY, SIZE)(torch.rand(1, 3, 48, 64))
