"""Quantised models with random weights."""

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

QUANT = 'configs/quant/rle-{}_mobilenetv2-050_1xb256-100e_aic-coco-192x192.py'


def build(root, path, **changes):
    """The model of a config, with weights that are random but lively, the same for every call."""
    torch.manual_seed(0)
    init_default_scope('mmpose')
    config = Config.fromfile(root / path)
    for key, value in changes.items():
        config.model[key] = value
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, 0, 0.3)
            torch.nn.init.normal_(part.running_mean, 0, 0.3)
            torch.nn.init.uniform_(part.running_var, 0.5, 1.5)
        elif isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, nonlinearity='linear')
    for head in ('fc_coord', 'fc_sigma', 'final_layer'):
        if hasattr(model.head, head):
            torch.nn.init.normal_(getattr(model.head, head).weight, 0, 0.05)
    return model.eval()
