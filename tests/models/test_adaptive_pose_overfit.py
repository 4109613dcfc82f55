"""AdaptivePose learns: two drawn pictures of three persons by heart."""

import importlib

import pytest
import torch
from mmengine.logging import MMLogger

pytestmark = pytest.mark.slow

SIDE = 128


def test_pictures_of_three(root, monkeypatch):
    MMLogger.get_current_instance().setLevel('WARNING')
    monkeypatch.syspath_prepend(root / 'tools')
    figure = importlib.import_module('draw_adaptivepose')
    pictures = figure.draw_pictures(2, SIDE)
    model = figure.small_model(SIDE)
    model.init_weights()
    x, samples = figure.labelled(model, pictures)
    figure.learn(model, x, samples, steps=80)
    with torch.no_grad():
        poses = model.head.predict(model.extract_feat(x), samples)
    assert [(pose.bbox_scores > 0.5).sum() for pose in poses] == [3, 3]
    assert max(figure.errors(poses, pictures, SIDE)) < 0.02
