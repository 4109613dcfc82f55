"""A checkpoint of PoseFix's PyTorch port, by the command, gives the same maps."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.models.backbones import ResNet
from mmpose.registry import MODELS
from torch import nn

from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.cli.main import main

CONFIG = 'configs/posefix/posefix_res50_2xb16-140e_coco-256x192.py'


class Port(nn.Module):
    """The port's network: torchvision's names, transposed convolutions without batch norm."""

    def __init__(self):
        super().__init__()
        self.body = ResNet(50, in_channels=20)
        layers = []
        for channels in (2048, 256, 256):
            layers += [nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(256, 17, 1)

    def forward(self, x):
        return self.final_layer(self.deconv_layers(self.body(x)[-1]))


@pytest.mark.slow
def test_the_same_maps(root, tmp_path, capsys):
    init_default_scope('mmpose')
    torch.manual_seed(0)
    port = Port().eval()
    state = {f'module.{k.removeprefix("body.")}': v for k, v in port.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'port.pth')
    assert main(['convert', 'posefix', str(tmp_path / 'port.pth'), str(tmp_path / 'ours.pth')]) == 0
    config = Config.fromfile(root / CONFIG)
    config.model.backbone.pop('init_cfg')
    model = MODELS.build(config.model).eval()
    model.load_state_dict(load_file(tmp_path / 'ours.pth', map_location='cpu')['state_dict'])
    x = torch.randn(1, 20, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model.head(model.extract_feat(x)), port(x), atol=1e-4, rtol=1e-4)


def test_another_checkpoint(tmp_path, capsys):
    torch.save({'state_dict': {'conv9.weight': torch.zeros(3)}}, tmp_path / 'other.pth')
    out = str(tmp_path / 'ours.pth')
    assert main(['convert', 'posefix', str(tmp_path / 'other.pth'), out]) == 2
    said = capsys.readouterr().err
    assert 'conv9.weight' in said
    assert 'other.pth' in said
