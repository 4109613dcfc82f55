"""What the matrix of all configs stands on: that it sees what is wrong with a run."""

import math
import re

import _miniature
import matrix
import pytest
import torch


def finished(**changes):
    watch = _miniature.Watch()
    watch.losses = [{'loss': 1.0, 'loss_kpt': 1.0}] * 2
    result = {'iterations': 2, 'val': {'coco/AP': 0.0}, 'test': {'coco/AP': 0.0}}
    return {**result, **changes}, watch


@pytest.mark.parametrize(('changes', 'losses', 'word'), [
    ({'iterations': 6}, None, '6 iterations instead of 2'),
    ({'val': {'coco/AP': math.nan}}, None, 'val: coco/AP not finite'),
    ({'test': {}}, None, 'neither a metric nor a file'),
    ({'val': {'AP': 0.1}}, None, r"save_best \['coco/AP'\]: not among the metrics \['AP'\]"),
    ({}, [{'loss': math.inf}], 'iteration 1: loss not finite'),
])  # fmt: skip
def test_problems_are_named(changes, losses, word):
    assert _miniature.problems(*finished(), 'coco/AP') == []
    result, watch = finished(**changes)
    watch.losses = losses or watch.losses
    (problem,) = _miniature.problems(result, watch, 'coco/AP')
    assert re.search(word, problem)


def test_bad_gradients_and_idle_parameters_are_seen():
    model = torch.nn.ModuleDict({'used': torch.nn.Linear(1, 1), 'idle': torch.nn.Linear(1, 1)})
    watch = _miniature.Watch()
    watch.before_train(type('Runner', (), {'model': model}))
    (model['used'](torch.zeros(1)) * math.inf).sum().backward()
    assert watch.learning == {'used.weight', 'used.bias'}
    assert 'used.bias' in watch.bad_gradients


def test_a_digest_follows_the_bases_and_not_the_folder(tmp_path, monkeypatch):
    base, leaf = tmp_path / 'base.py', tmp_path / 'leaf.py'
    base.write_text("root = '{{$RLEPOSE_DATA:data}}/coco'\nlr = 1\n")
    leaf.write_text("_base_ = ['./base.py']\n")
    first = matrix.digest(leaf)
    monkeypatch.setenv('RLEPOSE_DATA', '/elsewhere')
    assert matrix.digest(leaf) == first
    base.write_text("root = '{{$RLEPOSE_DATA:data}}/coco'\nlr = 2\n")
    assert matrix.digest(leaf) != first


def test_a_process_that_fails_gets_a_row(monkeypatch):
    # the interpreter's own word for a script that is not there
    monkeypatch.setattr(matrix, '__file__', 'nowhere.py')
    row = matrix.in_own_process('any', [], 1, 100)
    assert row['status'] == 'failed'
    assert re.match(r'exit status 2: .*nowhere\.py', row['problems'][0])
    row = matrix.in_own_process('any', [], 1, 0)
    assert row['problems'] == ['not done after 0 s']
