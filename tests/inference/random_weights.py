"""Checkpoints with random weights: models run on nothing less."""

from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.config import Config

from rlepose_ext.resources import resource

POSE = str(resource('configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'))


def save(model, path):
    """Write a checkpoint of a model with the names of its classes; returns the path as text."""
    meta = {'dataset_meta': dict(model.dataset_meta)}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return str(path)


def random_checkpoint(config, path):
    """Write what a pose model starts from, without what its backbone would be loaded with."""
    from mmpose.apis import init_model

    torch.manual_seed(0)
    return save(init_model(str(config), device='cpu'), path)


def small_config(name, path, side):
    """Write a config of mmdet's wheel for images of ``side`` px."""
    config = Config.fromfile(Path(find_spec('mmdet').origin).parent / '.mim/configs' / name)
    for step in config.test_dataloader.dataset.pipeline:
        for key in {'scale', 'size'} & set(step):
            step[key] = (side, side)
    config.dump(path)
    return str(path)


def random_rtmdet(folder, side):
    """Write RTMDet-tiny for images of ``side`` px, with weights that find persons.

    Returns:
        The paths of config and checkpoint.
    """
    from mmdet.apis import init_detector

    config = small_config('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', folder / 'rtmdet.py', side)
    torch.manual_seed(0)  # before the backbone draws its weights
    model = init_detector(config, device='cpu')
    head = model.bbox_head
    for parts, std, bias in ((head.rtm_reg, 0.01, 2.0), (head.rtm_cls, 0.003, -3.0)):
        for part in parts:
            torch.nn.init.normal_(part.weight, 0, std)
            torch.nn.init.constant_(part.bias, bias)
    for part in head.rtm_cls:
        part.bias.data[0] = -0.5  # persons first, so that there are some
    # Statistics of batch norm that keep the input's variance up to the outputs.
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0
    with torch.no_grad():
        model.train()
        x = torch.nn.functional.interpolate(torch.randn(16, 3, 6, 6), (side, side), mode='bicubic')
        head(model.extract_feat(x))
        model.eval()
    return config, save(model, folder / 'rtmdet.pth')
