"""A Runner with a loss that is no number ends at once, and keeps what was good."""

import json
import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from resume_training import BATCHES, runner

from rlepose_ext.checkpoints.files import latest_whole
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


class Name(Hook):
    """Each batch is one of samples ``<iteration>.jpg``, iterations from 1.

    In some iterations the loss is finite and its gradient NaN, in others the loss is.
    """

    def __init__(self, nan_gradient=(), nan_loss=()):
        self.nan_gradient, self.nan_loss = nan_gradient, nan_loss

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        number = runner.iter + 1
        sample = {'img_path': f'{number}.jpg'}
        sample['nan_gradient'] = number in self.nan_gradient
        sample['nan_loss'] = number in self.nan_loss
        data_batch['data_samples'] = [sample]


@pytest.fixture(autouse=True)
def _take_samples(monkeypatch):
    from resume_training import Net

    forward = Net.forward

    def forward_with_samples(self, inputs, number, mode='tensor', data_samples=None):
        output = forward(self, inputs, number, mode)
        sample = data_samples[0] if data_samples else {}
        if sample.get('nan_gradient'):  # a root at 0
            loss = output['loss']
            output['loss'] = loss + (loss - loss.detach()).abs().sqrt()
        if sample.get('nan_loss'):
            output['loss'] = output['loss'] * math.nan
        return output

    monkeypatch.setattr(Net, 'forward', forward_with_samples)


def test_stops_with_the_samples_and_the_last_good_checkpoint(tmp_path):
    run = runner(tmp_path, hooks=[Name(), Poison(BATCHES + 2)])
    with pytest.raises(UserError) as error:
        run.train()
    text = str(error.value)
    assert f'the loss is nan, at iteration {BATCHES + 3} (epoch 2, batch 3): loss nan' in text
    assert "(image a.jpg, annotation_id 7, not_finite ['inputs']); (image b.jpg)." in text
    assert f'The last good checkpoint is {tmp_path / "epoch_1.pth"}.' in text
    assert 'RLEPOSE_BAD_LOSS=0' in text
    assert 'step before' not in text, 'the batch is at fault, as its values show'
    report = json.loads((tmp_path / f'bad_loss_iter_{BATCHES + 3}_rank_0.json').read_text())
    assert report['samples'][1] == {'image': 'b.jpg'}
    assert sorted(path.name for path in tmp_path.glob('epoch*')) == ['epoch_1.pth']


SGD = {'type': 'SGD', 'lr': 0.02}


def report_of(folder, hook, **arguments):
    """The error of a training that must fail, and its report as a file."""
    with pytest.raises(UserError) as error:
        runner(folder, hooks=[hook], **arguments).train()
    (file,) = folder.glob('bad_*.json')
    return str(error.value), json.loads(file.read_text())


@pytest.mark.parametrize('clip', [{'max_norm': 1.0}, None])
def test_a_finite_loss_with_a_gradient_that_is_not(tmp_path, clip):
    """It is the next loss that is NaN, and that of innocent samples."""
    text, report = report_of(
        tmp_path, Name(nan_gradient=[3]), optim_wrapper={'optimizer': SGD, 'clip_grad': clip}
    )
    assert 'the loss is nan, at iteration 4 (epoch 1, batch 4): loss nan' in text
    assert 'Samples of that batch: (image 4.jpg). Or the gradient of the step before' in text
    assert 'not finite; its samples: (image 3.jpg).' in text
    assert report['samples'] == [{'image': '4.jpg'}]
    assert report['samples_of_the_step_before'] == [{'image': '3.jpg'}]


def test_a_step_of_several_batches(tmp_path):
    several = {'optimizer': SGD, 'accumulative_counts': 2}
    text, report = report_of(tmp_path / '3', Name(nan_gradient=[3]), optim_wrapper=several)
    assert 'at iteration 5 ' in text
    expected = [{'image': '3.jpg'}, {'image': '4.jpg'}]
    assert report['samples_of_the_step_before'] == expected
    # The weights were those of iteration 3, whose loss was finite.
    text, report = report_of(tmp_path / '4', Name(nan_loss=[4]), optim_wrapper=several)
    assert 'Samples of that batch: (image 4.jpg). All are in' in text
    assert 'samples_of_the_step_before' not in report


@OPTIM_WRAPPERS.register_module()
class Scaled(OptimWrapper):
    """With a GradScaler on a CPU, where mmengine's AmpOptimWrapper has none."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu')

    def backward(self, loss, **kwargs):
        super().backward(self.loss_scaler.scale(loss), **kwargs)

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer)
        self.loss_scaler.update()


def test_a_step_that_a_scaler_left_out_is_not_blamed(tmp_path):
    run = runner(
        tmp_path,
        hooks=[Name([3], range(4, 20)), {'type': 'rlepose_ext.BadLossHook', 'patience': 2}],
        optim_wrapper={'type': 'Scaled', 'optimizer': SGD},
    )
    with pytest.raises(UserError) as error:
        run.train()
    assert 'the 2th time in a row, at iteration 5 ' in str(error.value)
    assert 'Samples of that batch: (image 5.jpg). All are in' in str(error.value)


def test_broken_weights_are_not_saved(tmp_path):
    """The loss was finite to the end of the epoch."""
    run = runner(tmp_path, hooks=[Poison(2 * BATCHES, weights=True)])
    with pytest.raises(UserError, match=r'1 parameters .* layers\.0\.weight.* not saved'):
        run.train()
    assert latest_whole(tmp_path, print).name == 'epoch_1.pth'
    assert not (tmp_path / 'epoch_2.pth').exists()


def test_the_last_gradient_before_a_checkpoint(tmp_path):
    text, report = report_of(tmp_path, Name(nan_gradient=[BATCHES]))
    assert f'after {BATCHES} iterations; they were not saved' in text
    assert f'Samples of the last step: (image {BATCHES}.jpg).' in text
    assert report['samples'] == [{'image': f'{BATCHES}.jpg'}]


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
