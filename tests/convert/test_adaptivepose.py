"""``rlepose convert adaptivepose``: the authors' names become ours, all of them and no others."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from rlepose_ext.cli.main import main
from rlepose_ext.convert import adaptivepose


@pytest.fixture(scope='module')
def model(root):
    init_default_scope('mmpose')
    path = 'configs/adaptivepose/adaptivepose_hrnet-w32_8xb8-280e_coco-512x512.py'
    config = Config.fromfile(root / path)
    config.model.backbone.init_cfg = None
    stages = config.model.backbone.extra
    for stage in stages.values():
        stage.update(num_modules=1, num_blocks=[1] * len(stage.num_blocks))
    return MODELS.build(config.model)


def theirs(name):
    """The authors' name of one of ours; the table of the module, read backwards."""
    if name.startswith('backbone.'):
        return name.removeprefix('backbone.')
    for ours, original in (
        ('head.centre.0.', 'hm.0.'),
        ('head.pose.0.', 'hps.0.'),
        ('head.joint_maps.0.0.', 'hm_hp.0.'),
        ('head.joint_maps.1.', 'hm_hp.2.'),
        ('head.searcher.', 'sampler.searcher.'),
        ('head.centre_reduce.', 'sampler.ct_feat_trans.'),
        ('head.centre_out.0.0.', 'sampler.squeeze_ct.conv.'),
        ('head.centre_out.1.', 'sampler.pred_ct_hm.'),
    ):
        if name.startswith(ours):
            return name.replace(ours, original)
    _, _, part, block, rest = name.split('.', 4)
    block = {'reduce': 'feat_trans', 'deform': 'feat_agg', 'joints': 'pred_kps_list'}[block]
    return f'sampler.{block}.{part}.{rest}'


def foreign(model):
    return {f'module.{theirs(name)}': value for name, value in model.state_dict().items()}


def test_command(model, tmp_path, capsys):
    state = foreign(model)
    torch.save({'epoch': 280, 'state_dict': state}, tmp_path / 'in.pth')
    out = tmp_path / 'out.pth'
    assert main(['convert', 'adaptivepose', str(tmp_path / 'in.pth'), str(out)]) == 0
    assert f'{len(state)} tensors' in capsys.readouterr().out
    content = torch.load(out, weights_only=True)
    assert content['meta']['source'] == 'buptxyb666/AdaptivePose on HRNet'
    expected = model.state_dict()
    assert content['state_dict'].keys() == expected.keys()
    for name, value in content['state_dict'].items():
        assert torch.equal(value, expected[name]), name
    assert main(['convert', 'adaptivepose', str(tmp_path / 'in.pth'), str(out)]) == 2


def test_the_branch_new_ops_has_another_name(model):
    state = {
        name.replace('conv_offset_mask', 'param_generator'): value
        for name, value in foreign(model).items()
    }
    assert adaptivepose.convert(state).keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (lambda state: {'decoder.weight': torch.zeros(1), **state}, 'not those of AdaptivePose'),
        (lambda state: {k: v for k, v in state.items() if 'sampler' not in k}, 'incomplete'),
        (lambda state: {k: v for k, v in state.items() if 'stage4' not in k}, 'backbone.stage4'),
    ],
)
def test_other_models(model, tmp_path, capsys, change, match):
    torch.save(change(foreign(model)), tmp_path / 'in.pth')
    assert (
        main(['convert', 'adaptivepose', *(str(tmp_path / n) for n in ('in.pth', 'out.pth'))]) == 2
    )
    assert match in capsys.readouterr().err
    assert not (tmp_path / 'out.pth').exists()
