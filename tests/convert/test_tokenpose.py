"""``rlepose convert tokenpose``: every key by its name, tests load it, and what is refused."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from rlepose_ext.cli.main import main
from rlepose_ext.convert import tokenpose
from rlepose_ext.convert.files import read_state_dict
from rlepose_ext.engine import checkpoint_match
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.token_pose_head import sine_embedding

# By hand; upstream's names, ours.
RENAMED = {
    'head.keypoint_tokens': 'keypoint_token',
    'head.patch_embed': 'patch_to_embedding',
    'ln1': '0.fn.norm',
    'attn.qkv': '0.fn.fn.to_qkv',
    'attn.proj': '0.fn.fn.to_out.0',
    'ln2': '1.fn.norm',
    'ffn.layers.0.0': '1.fn.fn.net.0',
    'ffn.layers.1': '1.fn.fn.net.3',
    'head.to_heatmap': 'mlp_head',
}


def built(root, network, **changes):
    init_default_scope('mmpose')
    (path,) = root.glob(f'configs/tokenpose/tokenpose_{network}_*.py')
    config = Config.fromfile(path)
    config.model.backbone.init_cfg = None
    config.model.head.update(changes)
    return MODELS.build(config.model)


def upstream(model, stem, tokens, numbered=False):
    """The state dict of a model under upstream's names."""
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith('backbone.'):
            state[name.replace('backbone', stem)] = value
            continue
        for ours, theirs in RENAMED.items():
            name = name.replace(ours, theirs)
        if name.startswith('head.transformers.'):
            number, block, rest = name.removeprefix('head.transformers.').split('.', 2)
            number = int(number) + 1 if numbered else ''
            name = f'transformer{number}.layers.{block}.{rest}'
        state[f'{tokens}.{name}'] = value
    rows, columns = model.head.grid
    state[f'{tokens}.pos_embedding'] = sine_embedding(192, rows, columns)[None]
    return state


NAMES = {
    't': ('-', 'transformer'),
    's-v2': ('features', 'features'),
    'b': ('pre_feature', 'transformer'),
    'l-d6': ('pre_feature', 'transformer', True),
}


LARGE = ('b', 'l-d6')


@pytest.mark.parametrize(
    'network', [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in NAMES]
)
def test_command(root, tmp_path, capsys, network):
    model = built(root, network)
    state = upstream(model, *NAMES[network])
    torch.save({f'module.{k}': v for k, v in state.items()}, tmp_path / 'in.pth')
    out = tmp_path / 'out.pth'
    assert main(['convert', 'tokenpose', str(tmp_path / 'in.pth'), str(out)]) == 0
    written = read_state_dict(out)
    assert set(written) == set(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(written[name], value), name
    assert main(['convert', 'tokenpose', str(tmp_path / 'in.pth'), str(out)]) == 2
    assert '--force' in capsys.readouterr().err


@pytest.fixture(scope='module')
def state(root):
    return upstream(built(root, 't'), *NAMES['t'])


@pytest.mark.parametrize(('change', 'said'), [
    ({'transformer.pos_embedding': torch.zeros(1, 256, 192)}, 'expected the sine embedding'),
    (
        {'transformer.pos_embedding': torch.zeros(1, 256, 96)},
        r'shape \(1, patches, 192\).*got \(1, 256, 96\)',
    ),
    ({'transformer.pos_embedding': None}, 'no pos_embedding'),
    ({'transformer.keypoint_token': None}, 'no head.keypoint_tokens'),
    ({'backbone.conv1.weight': torch.zeros(1)}, r'backbone.conv1.weight \(1 in all\)'),
    ({'transformer.transformer.layers.0.2.fn.norm.weight': torch.zeros(1)}, '0.2.fn.norm'),
])  # fmt: skip
def test_another_file_is_refused(state, change, said):
    changed = {k: v for k, v in {**state, **change}.items() if v is not None}
    with pytest.raises(UserError, match=said):
        tokenpose.convert(changed)


def test_the_file_is_named(tmp_path, capsys):
    torch.save({'conv1.weight': torch.zeros(1)}, tmp_path / 'in.pth')
    assert main(['convert', 'tokenpose', str(tmp_path / 'in.pth'), str(tmp_path / 'o.pth')]) == 2
    said = capsys.readouterr().err
    assert 'in.pth: these keys are not TokenPose' in said
    assert said.count('\n') == 1


def test_weights_of_another_network_say_expected_and_got(root, state):
    """As `mim test` and `mim train --resume` do: patches of another size, other joints."""
    converted = tokenpose.convert(state)
    model = built(root, 't', out_channels=14, patch_size=(16, 16))
    before = checkpoint_match.snapshot(model)
    fitting = {k: v for k, v in converted.items() if v.shape == model.state_dict()[k].shape}
    model.load_state_dict(fitting, strict=False)
    match = checkpoint_match.compare(model, before, {'state_dict': converted})
    with pytest.raises(UserError) as error:
        checkpoint_match.require_exact(match, 'tokenpose_t.pth')
    assert 'head.keypoint_tokens: file (1, 17, 192), model (1, 14, 192)' in str(error.value)
    assert 'head.patch_embed.weight: file (192, 576), model (192, 768)' in str(error.value)
