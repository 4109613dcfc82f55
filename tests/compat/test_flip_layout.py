"""UDP's flip test on maps that are stored channels-last."""

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


def test_heads_have_the_patched_function():
    assert heatmap_head.flip_heatmaps is tta.flip_heatmaps
    assert hasattr(tta.flip_heatmaps, '__wrapped__')
