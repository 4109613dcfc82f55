"""UDP's flip test on maps that are stored channels-last."""

import subprocess
import sys

import pytest
import torch
from mmpose.models.heads.heatmap_heads import heatmap_head
from mmpose.models.utils import tta

FLIP = [0, 2, 1]


@pytest.mark.parametrize(('mode', 'maps'), [('heatmap', 3), ('udp_combined', 9), ('offset', 6)])
def test_layout_changes_no_value(mode, maps):
    heatmaps = torch.randn(2, maps, 5, 4)
    before = heatmaps.clone()
    for module in (tta, heatmap_head):
        expected = module.flip_heatmaps(heatmaps, FLIP, mode)
        nhwc = heatmaps.to(memory_format=torch.channels_last)
        torch.testing.assert_close(module.flip_heatmaps(nhwc, FLIP, mode), expected, rtol=0, atol=0)
    assert torch.equal(heatmaps, before)


@pytest.mark.slow
def test_heads_that_were_imported_first_have_it_too():
    """As with compiled mmcv and xtcocotools, without which MMPose is not importable alone."""
    code = """
import sys, types
from pycocotools import coco, cocoeval, mask
import pycocotools, torch

def op(name):
    if name.startswith('_'):
        raise AttributeError(name)
    return lambda *args: None

sys.modules['mmcv._ext'] = types.ModuleType('mmcv._ext')
sys.modules['mmcv._ext'].__getattr__ = op
sys.modules['xtcocotools'] = pycocotools
for part in (coco, cocoeval, mask):
    sys.modules['xtco' + part.__name__.removeprefix('pyco')] = part
from mmpose.models.heads.heatmap_heads import heatmap_head
import rlepose_ext
maps = torch.randn(2, 9, 5, 4).to(memory_format=torch.channels_last)
print(heatmap_head.flip_heatmaps(maps, [0, 2, 1], 'udp_combined').shape)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.split() == ['torch.Size([2,', '9,', '5,', '4])'], done.stderr
