"""MMPose_Clean's 8-bit tables: names, and, where they are at hand, the original's figures."""

import cv2
import int8
import numpy as np
import pytest
import torch
from clean_model import clean_model

from rlepose_ext.cli.main import main
from rlepose_ext.convert.mmpose_clean_int8 import convert_ranges, layer_name
from rlepose_ext.errors import UserError


@pytest.mark.parametrize(('key', 'expected'), [
    ('backbone.conv1.conv', 'backbone.conv1'),
    ('backbone.block_0.1.pw_conv', 'backbone.layer1.0.conv.1'),
    ('backbone.block_3.4.dw_conv', 'backbone.layer4.3.conv.1'),
    ('backbone.block_2.3.add', 'backbone.layer3.2.add'),
    ('neck.gap', 'neck'),
    ('head.mlp_head_x', 'head.mlp_head_x'),
    ('backbone.block_0.1.conv', None),
    ('head.fc', None),
])  # fmt: skip
def test_names(key, expected):
    assert layer_name(key) == expected


@pytest.mark.parametrize(('content', 'said'), [
    ([], 'expected a table of layers'),
    ({'backbone.layer1': {}}, "'backbone.layer1' is no layer"),
    ({'neck.gap': {'output_scale': torch.ones(1)}}, 'neck: damaged ranges'),
    ({'neck.gap': {'output_scale': torch.ones(3), 'output_zero_point': torch.ones(3)}}, 'damaged'),
])  # fmt: skip
def test_what_is_no_table_is_refused(content, said, tmp_path, capsys):
    with pytest.raises(UserError, match=said):
        convert_ranges(content)
    torch.save(clean_model().state_dict(), tmp_path / 'in.pth')
    torch.save(content, tmp_path / 'ranges.pth')
    arguments = [tmp_path / 'in.pth', tmp_path / 'out.pth', '--ranges', tmp_path / 'ranges.pth']
    assert main(['convert', 'mmpose-clean', *map(str, arguments)]) == 2
    assert 'ranges.pth' in capsys.readouterr().err
    assert not (tmp_path / 'out.pth').exists()


# --- the original -------------------------------------------------------------------------


@pytest.fixture(scope='module')
def tables(shared):
    if not (shared / int8.TABLES.format('qat')).is_file():
        pytest.skip('no 8-bit tables of MMPose_Clean')
    return shared


@pytest.fixture(scope='module')
def estimators(tables, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp('int8'), {}

    def of(stage):
        if stage not in made:
            made[stage] = int8.original(stage, folder)
        return made[stage]

    of.folder = folder
    return of


def oks(pose):
    return int8.score(pose, int8.persons())['oks']


@pytest.mark.parametrize(('stage', 'expected'), [('ptq', 0.1506), ('lsq', 0.8324), ('qat', 0.8178)])
@pytest.mark.slow
def test_rounded_as_the_original(estimators, stage, expected):
    assert oks(estimators(stage)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_integers_are_the_originals(estimators):
    """Its integers and ours of the same weights; and what its integers find."""
    from rlepose_ext.export.integer import IntegerPose, tables_of

    ours, theirs = tables_of(estimators('qat')), int8.original_integers(estimators('qat'))
    different = total = 0
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        np.testing.assert_array_equal(a.n / np.exp2(a.m), b.n / np.exp2(b.m))
        if a.weight is not None:
            apart = np.abs(a.weight.astype(int) - b.weight)
            assert apart.max() <= 1
            different, total = different + (apart > 0).sum(), total + apart.size
        # the original takes the factor of its pooling's bias before it is rounded to n / 2^m
        assert np.abs(a.bias - b.bias).max() <= (4 if a.kind == 'pool' else 1), a.name
    assert total == 756_176
    assert different <= 0.001 * total
    assert oks(IntegerPose(theirs)) == pytest.approx(0.8293, abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(('stage', 'expected'), [('lsq', 0.83), ('qat', 0.82)])
def test_its_scales_in_onnx(estimators, stage, expected):
    """Rounding moves joints by a pixel, in whichever way it is computed, and OKS stays."""
    pytest.importorskip('onnxscript', reason='needs the extra [export]')
    from rlepose_ext.export.onnx import torch_outputs
    from rlepose_ext.runtime import OnnxPose

    estimator = estimators(stage)
    pose = OnnxPose(int8.exported(stage, estimators.folder), 'cpu')
    assert oks(pose) == pytest.approx(expected, abs=0.015)
    image = int8.persons()[0]
    crops = estimator.crop(cv2.imread(str(image.path)), image.boxes).pixels
    apart = np.abs(pose.points(crops)[0] - torch_outputs(estimator, crops)[0])
    assert apart.mean() < 1.5
