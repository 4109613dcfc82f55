"""A Runner with a loss that is no number ends at once, and keeps what was good."""

import json
import math

import pytest
import torch
from mmengine.hooks import Hook
from resume_training import BATCHES, runner

from rlepose_ext.engine.checkpoint_files import latest_whole
from rlepose_ext.errors import UserError


class Poison(Hook):
    """Before an iteration: NaN into the batch, or into the weights."""

    def __init__(self, iteration, weights=False, value=math.nan):
        self.iteration, self.weights, self.value = iteration, weights, value

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration and not self.weights:
            data_batch['inputs'][0, 0] = self.value
            data_batch['data_samples'] = [{'img_path': 'a.jpg', 'id': 7}, {'img_path': 'b.jpg'}]

    def after_train_epoch(self, runner):
        if runner.iter == self.iteration and self.weights:
            with torch.no_grad():
                next(runner.model.parameters())[0, 0] = self.value


@pytest.fixture(autouse=True)
def _take_samples(monkeypatch):
    from resume_training import Net

    forward = Net.forward
    monkeypatch.setattr(
        Net,
        'forward',
        lambda self, inputs, number, mode='tensor', data_samples=None: forward(
            self, inputs, number, mode
        ),
    )


def test_stops_with_the_samples_and_the_last_good_checkpoint(tmp_path):
    run = runner(tmp_path, hooks=[Poison(BATCHES + 2)])
    with pytest.raises(UserError) as error:
        run.train()
    text = str(error.value)
    assert f'the loss is nan, at iteration {BATCHES + 3} (epoch 2, batch 3): loss nan' in text
    assert "(image a.jpg, annotation_id 7, not_finite ['inputs']); (image b.jpg)." in text
    assert f'The last good checkpoint is {tmp_path / "epoch_1.pth"}.' in text
    assert 'RLEPOSE_BAD_LOSS=0' in text
    report = json.loads((tmp_path / f'bad_loss_iter_{BATCHES + 3}_rank_0.json').read_text())
    assert report['samples'][1] == {'image': 'b.jpg'}
    assert sorted(path.name for path in tmp_path.glob('epoch*')) == ['epoch_1.pth']


def test_broken_weights_are_not_saved(tmp_path):
    """The loss was finite to the end of the epoch."""
    run = runner(tmp_path, hooks=[Poison(2 * BATCHES, weights=True)])
    with pytest.raises(UserError, match=r'1 parameters .* layers\.0\.weight.* not saved'):
        run.train()
    assert latest_whole(tmp_path, print).name == 'epoch_1.pth'
    assert not (tmp_path / 'epoch_2.pth').exists()


def test_before_it_is_saved_by_iterations(tmp_path):
    checkpoint = {'type': 'CheckpointHook', 'interval': 1, 'by_epoch': False}
    run = runner(tmp_path, hooks=[Poison(2)], default_hooks={'checkpoint': checkpoint})
    with pytest.raises(UserError, match='the loss is nan'):
        run.train()
    assert latest_whole(tmp_path, print).name == 'iter_2.pth'


@pytest.mark.parametrize('how', ['environment', 'argument'])
def test_switched_off(tmp_path, monkeypatch, how):
    hooks = [Poison(2)]
    if how == 'environment':
        monkeypatch.setenv('RLEPOSE_BAD_LOSS', '0')
    else:
        hooks.append({'type': 'rlepose_ext.BadLossHook', 'enabled': False})
    run = runner(tmp_path, hooks=hooks, epochs=1)
    run.train()
    assert [type(hook).__name__ for hook in run.hooks].count('BadLossHook') == 1
    assert math.isnan(run.message_hub.get_scalar('train/loss').current())


def test_the_switch_takes_two_values(tmp_path, monkeypatch):
    monkeypatch.setenv('RLEPOSE_BAD_LOSS', 'off')
    with pytest.raises(UserError, match="must be 0 or 1, got 'off'"):
        runner(tmp_path)


def test_explosion(tmp_path):
    hook = {'type': 'rlepose_ext.BadLossHook', 'window': 4}
    run = runner(tmp_path, hooks=[Poison(5, value=1e5), hook])
    with pytest.raises(UserError, match='exploded to'):
        run.train()


class Overflow(Hook):
    """Infinite losses in a row, as of an fp16 model whose scale is too large."""

    priority = 'VERY_HIGH'

    def __init__(self, iterations):
        self.iterations = iterations

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.optim_wrapper.loss_scaler = torch.amp.GradScaler('cpu')
        if runner.iter in self.iterations:
            outputs['loss'] = torch.tensor(math.inf)


def test_overflow_under_a_scaler_is_part_of_the_game(tmp_path):
    runner(tmp_path / 'nine', hooks=[Overflow([*range(1, 10), *range(11, 20)])]).train()
    run = runner(tmp_path / 'ten', hooks=[Overflow(range(1, 11))])
    with pytest.raises(UserError, match='is inf, the 10th time in a row, at iteration 11 '):
        run.train()
