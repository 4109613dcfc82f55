"""Signals through mmengine's Runner: what is saved, what is said, how the process ends.

That the resumed run is exact, whenever it was stopped, is in test_exact_resume.py.
"""

import errno
import os
import signal
import threading

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import find_latest_checkpoint
from resume_training import BATCHES, EPOCHS, At, Killed, kill, runner

from rlepose_ext.checkpoints import files as checkpoint_files
from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.engine import hook_of
from rlepose_ext.engine.hooks import InterruptHook


def send(name):
    return lambda: os.kill(os.getpid(), getattr(signal, name))


def stopped(run):
    with pytest.raises(SystemExit) as leaving:
        run.train()
    return leaving.value.code


def test_usr1_saves_within_the_epoch(tmp_path, capsys):
    run = runner(tmp_path, hooks=[At('after_train_iter', 2, send('SIGUSR1'))])
    assert stopped(run) == 128 + signal.SIGUSR1
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'interrupted.pth')
    text = capsys.readouterr().out
    assert 'SIGUSR1: stopping after iteration 3' in text
    assert 'interrupted.pth; --resume goes on there' in text
    assert run.iter == 2, 'the iteration was finished, the next one not begun'


def test_one_file_is_left_whatever_the_number_of_stops(tmp_path):
    for iteration in (1, 3, 4):
        run = runner(
            tmp_path, resume=True, hooks=[At('after_train_iter', iteration, send('SIGTERM'))]
        )
        assert stopped(run) == 143
    assert [path.name for path in tmp_path.glob('*.pth')] == ['interrupted.pth']
    run = runner(tmp_path, resume=True, hooks=[At('before_train_iter', BATCHES, kill)])
    with pytest.raises(Killed):
        run.train()
    assert not (tmp_path / 'interrupted.pth').exists(), 'epoch_1.pth is there'


def test_the_checkpoint_of_the_epoch_is_enough(tmp_path, capsys):
    """A signal in the validation after it."""
    run = runner(tmp_path, hooks=[At('after_val_iter', BATCHES, send('SIGTERM'))])
    assert stopped(run) == 143
    assert not (tmp_path / 'interrupted.pth').exists()
    assert 'the last checkpoint is of this iteration' in capsys.readouterr().out


def test_without_one_the_weights_of_the_training_are_saved(tmp_path):
    """In a validation the model has those of the average."""
    plain = {'checkpoint': {'type': 'CheckpointHook', 'interval': 9, 'save_last': False}}
    found = []
    for moment in ('before_val', 'after_val_iter'):
        hooks = [At(moment, BATCHES, send('SIGTERM'))]
        assert stopped(runner(tmp_path / moment, default_hooks=plain, hooks=hooks)) == 143
        found.append(load_file(tmp_path / moment / 'interrupted.pth'))
    before, within = found
    for part in ('state_dict', 'ema_state_dict'):
        for name, value in before[part].items():
            assert torch.equal(value, within[part][name]), name
    name = 'layers.0.weight'
    assert not torch.equal(before['state_dict'][name], before['ema_state_dict'][f'module.{name}'])


def test_the_end_of_a_training_is_not_put_off(tmp_path):
    run = runner(tmp_path, hooks=[At('after_val', EPOCHS * BATCHES, send('SIGTERM'))])
    run.train()
    assert (tmp_path / f'epoch_{EPOCHS}.pth').exists()


def test_gradients_that_wait_are_waited_for(tmp_path):
    optim_wrapper = {'optimizer': {'type': 'SGD', 'lr': 0.1}, 'accumulative_counts': 3}
    run = runner(
        tmp_path, optim_wrapper=optim_wrapper, hooks=[At('after_train_iter', 0, send('SIGTERM'))]
    )
    assert stopped(run) == 143
    assert run.iter + 1 == 3


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, capsys):
    def full(source, target):
        raise OSError(errno.ENOSPC, 'No space left on device', str(target))

    def fill():
        monkeypatch.setattr(checkpoint_files.os, 'replace', full)
        os.kill(os.getpid(), signal.SIGTERM)

    run = runner(tmp_path, hooks=[At('after_train_iter', BATCHES + 1, fill)])
    assert stopped(run) == 143
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')
    text = capsys.readouterr().out
    assert 'interrupted.pth was NOT saved: No space left on device' in text
    assert 'the checkpoint before is what is left' in text


def test_a_config_may_choose_the_signals(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run = runner(
        tmp_path,
        epochs=1,
        custom_hooks=[{'type': 'rlepose_ext.InterruptHook', 'signals': ['SIGUSR2']}],
    )
    assert [type(hook).__name__ for hook in run.hooks].count('InterruptHook') == 1
    seen = []

    def look():
        seen.append(signal.getsignal(signal.SIGTERM))

    run.register_hook(At('after_train_iter', 1, look))
    run.register_hook(At('after_train_iter', 2, send('SIGUSR2')))
    assert stopped(run) == 128 + signal.SIGUSR2
    assert seen == [before]


def test_hooks_of_the_same_name_are_others(tmp_path):
    """A user's hooks are called like ours and are not taken for them."""

    class InterruptHook(Hook):
        """Has neither signals nor anything else of ours."""

    class BadLossHook(Hook):
        pass

    class ExactResumeHook(Hook):
        last_ckpt = None  # nor is it a CheckpointHook

    theirs = [InterruptHook(), BadLossHook(), ExactResumeHook()]
    runner(tmp_path, epochs=1, hooks=theirs).train()
    again = [*theirs, At('after_train_iter', BATCHES + 1, send('SIGTERM'))]
    assert stopped(runner(tmp_path, resume=True, hooks=again)) == 143
    assert (tmp_path / 'interrupted.pth').exists()
    assert theirs[2].last_ckpt is None


def test_a_derived_hook_is_in_the_place_of_ours(tmp_path):
    class Mine(InterruptHook):
        pass

    run = runner(tmp_path, epochs=1, hooks=[Mine(signals=['SIGUSR2'])])
    assert [type(hook) for hook in run.hooks if isinstance(hook, InterruptHook)] == [Mine]


def test_outside_the_main_thread_trainings_run_as_before(tmp_path, capsys):
    errors = []

    def work():
        try:
            runner(tmp_path, epochs=1).train()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert 'Not in the main thread' in capsys.readouterr().out


def test_validating_alone_does_not_listen(tmp_path):
    run = runner(tmp_path, epochs=1)
    run.train()
    hook_of(run, InterruptHook).stop.received = signal.SIGTERM
    assert 'mean' in run.val()
