"""Parameters and operations by part, against totals by hand."""

import pytest
import torch
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.zoo import counting

SLIM = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'


@pytest.fixture
def config(root):
    return counting.load_config(str(root / SLIM))


def test_parts_of_a_model(config):
    counts = counting.count(counting.build_model(config, 'meta'))
    # one Linear from the 6x5 map of 128 channels to 4 numbers for each of 17 joints
    assert counts.parts == {'backbone': 702_096, 'head': 68 * (128 * 30 + 1)}
    assert counts.total == sum(counts.parts.values()) == 963_284
    assert counts.training_only == 53_784


def test_what_two_parts_share_counts_once():
    model = nn.ModuleDict({'backbone': nn.Linear(3, 2), 'head': nn.ModuleDict()})
    model['head']['same'] = model['backbone']
    model['head']['loss_module'] = nn.Linear(4, 4)
    counts = counting.count(model)
    assert counts.parts == {'backbone': 8}
    assert counts.total == 8
    assert counts.training_only == 20


def test_operations_of_a_convolution_and_a_product():
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
    line = nn.Linear(8, 5)
    image = torch.zeros(1, 3, 32, 16)

    def forward():
        return line(conv(image).mean((2, 3)))

    assert counting.count_flops(forward) == 2 * (8 * 16 * 8 * 3 * 9 + 8 * 5)


def test_a_deformable_convolution_counts_as_a_plain_one():
    from torchvision.ops import DeformConv2d

    deformable = DeformConv2d(4, 6, 3, padding=1, groups=2, bias=False)
    plain = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False)
    image, offset = torch.zeros(1, 4, 8, 8), torch.zeros(1, 18, 8, 8)
    number = counting.count_flops(lambda: deformable(image, offset))
    assert number == counting.count_flops(lambda: plain(image)) > 0


@pytest.mark.parametrize('written_out', [True, False])
def test_attention_counts_its_two_products(written_out):
    query, key, value = torch.zeros(2, 3, 5, 8), torch.zeros(2, 3, 7, 8), torch.zeros(2, 3, 7, 8)

    def forward():
        if written_out:
            return (query @ key.transpose(2, 3)).softmax(-1) @ value
        return nn.functional.scaled_dot_product_attention(query, key, value)

    assert counting.count_flops(forward) == 2 * (2 * 3) * (5 * 8 * 7 + 5 * 7 * 8)


def test_operations_of_a_config(config):
    forward = counting.forward_of(counting.build_model(config), counting.input_shape(config))
    # the head's Linear is exact, the backbone's total is that of its convolutions
    assert counting.count_flops(forward) == 63_012_864


def test_input_shapes(config, root):
    from mmengine.config import Config

    assert counting.input_shape(config) == (3, 96, 72)
    grey = config.copy()
    grey.model.data_preprocessor.mean = [128.0]
    assert counting.input_shape(grey) == (1, 96, 72)
    pipeline = [{'type': 'TopdownAffine', 'input_size': (64, 48)}]
    loader = {'dataset': {'pipeline': pipeline}}
    assert counting.input_shape(Config({'model': {}, 'val_dataloader': loader})) == (3, 48, 64)
    with pytest.raises(UserError, match='codec'):
        counting.input_shape(Config({'model': {}}))


def test_names_and_packages():
    assert counting.load_config('rle_scnet50').model.backbone.type == 'rlepose_ext.SCNet'
    inside = 'body_2d_keypoint/simcc/coco/simcc_res50_8xb64-210e_coco-256x192.py'
    assert counting.load_config(f'mmpose::{inside}').model.head.type == 'SimCCHead'
    for name in ('mmpose::none.py', 'nopackage::none.py'):
        with pytest.raises(UserError, match='has no config'):
            counting.load_config(name)


def test_files_that_are_no_configs(tmp_path, config):
    for text, said in (('a = 1', "no 'model'"), ('a = (', 'SyntaxError')):
        (tmp_path / 'c.py').write_text(text)
        with pytest.raises(UserError, match=said):
            counting.load_config(str(tmp_path / 'c.py'))
    config.model.backbone.depth = 17
    with pytest.raises(UserError, match='cannot be built'):
        counting.build_model(config)
