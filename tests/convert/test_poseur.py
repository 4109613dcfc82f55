"""Checkpoints of Poseur's repository: all tensors arrive, and what does not fit is named."""

import re

import pytest
import torch

from rlepose_ext.cli.main import main
from rlepose_ext.convert import poseur
from rlepose_ext.convert.files import read_state_dict
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads import PoseurHead

LAYER = (
    (r'self_attention\.(.+)', r'attentions.0.attn.\1'),
    (r'cross_attention\.value_(weight|bias)', r'attentions.1.value_proj_\1.weight'),
    (r'cross_attention\.(.+)', r'attentions.1.\1'),
    (r'linear1\.(.+)', r'ffns.0.layers.0.0.\1'),
    (r'linear2\.(.+)', r'ffns.0.layers.1.\1'),
)
HEAD = (
    (r'coarse\.fc_(coord|sigma)\.(.+)', r'transformer.fc_\1.linear.\2'),
    (r'query_proj\.(.+)', r'transformer.pos_trans.\1'),
    (r'query_norm\.(.+)', r'transformer.pos_trans_norm.\1'),
    (r'joint_embed', r'transformer.pos_embed.weight'),
    (r'level_embed', r'transformer.level_embeds'),
    (r'layers\.(\d)\.step\.(.+)', r'fc_coord_branches.\1.\2'),
    (r'layers\.(\d)\.correction\.(.+)', r'fc_coord_output_branches.\1.\2'),
    (r'layers\.(\d)\.sigma\.2\.(.+)', r'fc_sigma_branches.\1.2.linear.\2'),
    (r'layers\.(\d)\.sigma\.(.+)', r'fc_sigma_branches.\1.\2'),
    (r'coarse\.loss_module\.flow_model\.(.+)', r'enc_flow.\1'),
    (r'loss_module\.flow_model\.(.+)', r'dec_flow.\1'),
)


def their_name(key):
    layer = re.fullmatch(r'layers\.(\d)\.norm(\d)\.(.+)', key)
    if layer:
        return f'transformer.decoder.layers.{layer[1]}.norms.{int(layer[2]) - 1}.{layer[3]}'
    for pattern, name in HEAD:
        if match := re.fullmatch(pattern, key):
            return match.expand(name)
    layer, key = re.fullmatch(r'(layers\.\d\.)(.+)', key).groups()
    for pattern, name in LAYER:
        if match := re.fullmatch(pattern, key):
            return f'transformer.decoder.{layer}{match.expand(name)}'
    raise AssertionError(key)


@pytest.fixture(scope='module')
def head():
    head = PoseurHead(256, 17)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def their_state(head, prefix='keypoint_head.'):
    """As the repository writes it; its flows keep mean and covariance elsewhere."""
    state = {'backbone.conv1.weight': torch.rand(64, 3, 7, 7)}
    state['neck.convs.0.gn.bias'] = torch.rand(256)
    for key, value in head.state_dict().items():
        if not key.endswith(('.loc', '.cov')):
            theirs = value.flatten(0, 1) if key.endswith('value_weight') else value
            state[prefix + their_name(key)] = theirs.clone()
    return state


@pytest.mark.parametrize(
    'prefix', ['head.', pytest.param('keypoint_head.', marks=pytest.mark.slow)]
)
def test_command(head, tmp_path, capsys, prefix):
    theirs = their_state(head, prefix)
    torch.save({'state_dict': theirs, 'meta': {}}, tmp_path / 'in.pth')
    out = tmp_path / 'out.pth'
    assert main(['convert', 'poseur', str(tmp_path / 'in.pth'), str(out)]) == 0
    assert 'non-commercial' in capsys.readouterr().out
    state = read_state_dict(out)
    for name in ('backbone.conv1.weight', 'neck.convs.0.gn.bias'):
        assert torch.equal(state.pop(name), theirs[name])
    other = PoseurHead(256, 17)
    other.load_state_dict({k.removeprefix('head.'): v for k, v in state.items()}, strict=True)
    for (key, value), expected in zip(
        other.state_dict().items(), head.state_dict().values(), strict=True
    ):
        assert torch.equal(value, expected), key


def dropped(state):
    del state['head.transformer.pos_trans.bias']


def foreign(state):
    state['head.final_layer.weight'] = torch.zeros(17, 32, 1, 1)


def other_joints(state):
    state['head.transformer.pos_embed.weight'] = torch.zeros(14, 256)


def other_levels(state):
    state['head.transformer.level_embeds'] = torch.zeros(3, 256)


def seven_layers(state):
    for key in list(state):
        if '_branches.5.' in key or 'decoder.layers.5.' in key:
            new = key.replace('_branches.5.', '_branches.6.').replace('layers.5.', 'layers.6.')
            state[new] = state[key]


def no_head(state):
    for key in [key for key in state if key.startswith('head.')]:
        del state[key]


@pytest.mark.parametrize(('change', 'said'), [
    (dropped, r'incomplete: nothing becomes head\.query_proj\.bias'),
    (foreign, r'not a Poseur model.s: head\.final_layer\.weight'),
    (other_joints, r'head\.coarse\.fc_coord\.weight: expected \(28, 256\) .*got \(34, 256\)'),
    (other_levels, r'sampling_offsets\.weight: expected \(192, 256\) .*got \(256, 256\)'),
    (seven_layers, r'head\.layers\.6\..* is too much'),
    (no_head, r'no Poseur model: it has no joint_embed and no level_embed'),
])  # fmt: skip
def test_what_does_not_fit_is_named(head, change, said):
    state = their_state(head, 'head.')
    change(state)
    with pytest.raises(UserError, match=said):
        poseur.convert(state)
