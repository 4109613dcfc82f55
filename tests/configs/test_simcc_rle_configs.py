"""The hybrid's three configs: totals, loss weights, branch, and what the documents say of them."""

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from rlepose_ext.models.count import count_parameters

FAMILY = Path(__file__).resolve().parents[2] / 'configs' / 'simcc_rle'
NAME = '{}_mobilenetv2-075_1xb64-210e_coco-192x192'
# factors of the SimCC and of the RLE term, branch that predicts, quoted AP
VARIANTS = {
    'simcc-rle': (1.0, 0.01, 'simcc', 56.57),
    'simcc-rle-1to1': (1.0, 1.0, 'rle', 55.13),
    'simcc-rle-10to1': (10.0, 1.0, 'rle', 55.07),
}


def load(variant):
    init_default_scope('mmpose')
    config = Config.fromfile(FAMILY / f'{NAME.format(variant)}.py')
    config.model.backbone.init_cfg = None  # no download
    return config


def test_every_config_is_a_variant():
    assert {path.stem for path in FAMILY.glob('*.py')} == {NAME.format(v) for v in VARIANTS}


@pytest.mark.parametrize('variant', VARIANTS)
def test_totals_and_weights(variant):
    model = MODELS.build(load(variant).model)
    assert count_parameters(model) == 1_449_171
    simcc_weight, rle_weight, branch, _ = VARIANTS[variant]
    assert (model.head.simcc_weight, model.head.rle_weight) == (simcc_weight, rle_weight)
    assert model.test_cfg['branch'] == branch


def test_totals_of_its_relatives():
    config = load('simcc-rle')
    config.model.head.legacy_fc_coord = True
    assert count_parameters(MODELS.build(config.model)) == 1_492_725
    config.model.head = dict(
        type='SimCCHead',
        in_channels=1280,
        out_channels=17,
        input_size=(192, 192),
        in_featuremap_size=(6, 6),
        deconv_out_channels=None,
    )
    assert count_parameters(MODELS.build(config.model)) == 1_405_617


def test_documents_name_every_config():
    readme = (FAMILY / 'README.md').read_text()
    metafile = yaml.safe_load((FAMILY / 'metafile.yml').read_text())
    models = {model['Name']: model for model in metafile['Models']}
    assert set(models) == {NAME.format(variant) for variant in VARIANTS}
    for variant, (*_, ap) in VARIANTS.items():
        name = NAME.format(variant)
        model = models[name]
        assert model['Config'] == f'configs/simcc_rle/{name}.py'
        assert model['Metadata']['Parameters'] == 1_449_171
        assert model['Results'][0]['Metrics']['AP'] == pytest.approx(ap / 100)
        (row,) = [line for line in readme.splitlines() if f'({name}.py)' in line]
        assert f'| {ap} |' in row
        assert '1,449,171' in row
        assert f'AP {ap}' in (FAMILY / f'{name}.py').read_text()
