"""Saving through mmengine's Runner: nothing good is deleted early, a full disk stops nothing."""

import resource

import pytest
import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import save_checkpoint
from torch import nn
from torch.utils.data import DataLoader

from rlepose_ext.checkpoints import files as checkpoint_files
from rlepose_ext.checkpoints.files import damage
from rlepose_ext.errors import UserError

ROOM = 500_000  # bytes of a file on a full disk
SCORES = {0: 0.2, 1: 0.1, 2: 0.5, 3: 0.4, 4: 0.3, 5: 0.6}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        # larger than any log
        self.register_buffer('ballast', torch.zeros(2 * ROOM // 4))

    def train_step(self, data, optim_wrapper):
        loss = self.layer(data).mean()
        optim_wrapper.update_params(loss)
        return {'loss': loss.detach()}

    def val_step(self, data):
        return [data]

    test_step = val_step


def runner(folder, epochs=5, resume=False, **hook):
    from mmengine.evaluator import BaseMetric

    class Score(BaseMetric):
        def process(self, batch, samples):
            self.results.append(0)

        def compute_metrics(self, results):
            return {'score': SCORES[run.epoch]}

    data = DataLoader(torch.ones(4, 2), batch_size=2)
    run = Runner(
        model=Model(),
        work_dir=str(folder),
        train_dataloader=data,
        val_dataloader=data,
        val_evaluator=[Score()],
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        val_cfg={},
        test_dataloader=data,
        test_evaluator=[Score()],
        test_cfg={},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1, **hook}},
        resume=resume,
        experiment_name=f'{folder.name}-{epochs}-{resume}',
    )
    return run


def files(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def at(moment, function):
    """A hook that calls ``function(runner)`` at a moment, before all other hooks."""

    class At(Hook):
        priority = 'HIGHEST'

    setattr(At, moment, lambda self, runner, **kwargs: function(runner))
    return At()


@pytest.fixture
def full_disk():
    """A function that fills the disk: no checkpoint fits from then on, until it frees it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(full):
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM if full else soft, hard))

    yield fill
    fill(False)


def test_old_ones_go_after_the_new_one_is_there(tmp_path, monkeypatch):
    seen = []
    write = checkpoint_files.os.replace

    def watch(source, target):
        seen.append((target.name, files(tmp_path)))
        write(source, target)

    monkeypatch.setattr(checkpoint_files.os, 'replace', watch)
    runner(tmp_path, epochs=3, max_keep_ckpts=1).train()
    assert seen == [
        ('epoch_1.pth', []),
        ('epoch_2.pth', ['epoch_1.pth']),
        ('epoch_3.pth', ['epoch_2.pth']),
    ]
    assert files(tmp_path) == ['epoch_3.pth']
    assert b'rlepose_ext sha256 ' in (tmp_path / 'epoch_3.pth').read_bytes()[-100:]
    assert damage(tmp_path / 'epoch_3.pth') is None


def test_the_same_best_twice_stays(tmp_path):
    runner(tmp_path, epochs=2, save_best='score', rule='greater').train()
    # as after a kill between saving the best one and noting so
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    checkpoint['message_hub']['runtime_info'].update(
        best_ckpt=str(tmp_path / 'best_score_epoch_2.pth'), best_score=0.2
    )
    save_checkpoint(checkpoint, str(tmp_path / 'epoch_1.pth'))
    (tmp_path / 'epoch_2.pth').unlink()
    runner(tmp_path, epochs=2, resume=True, save_best='score', rule='greater').train()
    assert files(tmp_path) == ['best_score_epoch_2.pth', 'epoch_1.pth', 'epoch_2.pth']


def test_full_disk_fails_the_save_and_not_the_run(tmp_path, full_disk, capsys):
    run = runner(tmp_path, save_best='score', rule='greater', max_keep_ckpts=2)

    run.register_hook(at('before_train_epoch', lambda run: full_disk(run.epoch in (2, 3))))
    run.train()
    assert files(tmp_path) == ['best_score_epoch_5.pth', 'epoch_2.pth', 'epoch_5.pth']
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_5.pth')
    errors = [line for line in capsys.readouterr().out.splitlines() if 'ERROR' in line]
    assert len(errors) == 2
    assert f'{tmp_path / "epoch_3.pth"} was NOT saved: File too large' in errors[0]


def test_the_last_save_is_tried_again_at_the_end(tmp_path, full_disk, capsys):
    """Regular and best one; there is room again once the training is done."""
    run = runner(tmp_path, save_best='score', rule='greater', max_keep_ckpts=2)
    run.register_hook(at('before_train_epoch', lambda run: full_disk(run.epoch == 4)))
    run.register_hook(at('after_train', lambda run: full_disk(False)))
    run.train()
    assert files(tmp_path) == ['best_score_epoch_5.pth', 'epoch_4.pth', 'epoch_5.pth']
    assert capsys.readouterr().out.count('was NOT saved') == 2
    saved = torch.load(tmp_path / 'epoch_5.pth', weights_only=False)
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (5, 10)
    assert saved['message_hub']['runtime_info']['best_score'] == SCORES[5]


def test_a_checkpoint_hook_of_the_users_own_is_careful_too(tmp_path, full_disk):
    saved = []

    class Own(CheckpointHook):
        def _save_checkpoint_with_step(self, runner, step, meta):
            super()._save_checkpoint_with_step(runner, step, meta)
            saved.append(step)

    run = runner(tmp_path, epochs=3, type=Own)
    run.register_hook(at('before_train_epoch', lambda run: full_disk(run.epoch == 1)))
    run.train()
    assert saved == [1, 3]
    assert files(tmp_path) == ['epoch_1.pth', 'epoch_3.pth']


def test_by_iterations_too(tmp_path, full_disk):
    run = runner(tmp_path, epochs=2, by_epoch=False)
    run.register_hook(at('after_train_iter', lambda run: full_disk(run.iter == 3)))
    run.register_hook(at('after_train', lambda run: full_disk(False)))
    run.train()
    assert files(tmp_path) == [f'iter_{n}.pth' for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ('full_from', 'goes_on'), [(4, 'epoch_3.pth.'), (1, 'the start, as there is no checkpoint.')]
)
def test_without_its_last_checkpoint_a_run_fails(tmp_path, full_disk, full_from, goes_on):
    run = runner(tmp_path, save_best='score', rule='greater')
    run.register_hook(at('before_train_epoch', lambda run: full_disk(run.epoch + 1 >= full_from)))
    with pytest.raises(UserError) as error:
        run.train()
    assert run.epoch == 5, 'the training went on to its end'
    expected = f'on the disk: {tmp_path / "epoch_5.pth"} was NOT saved: File too large. Free space'
    assert expected in str(error.value)
    assert str(error.value).endswith(goes_on)
    full_disk(False)
    runner(tmp_path, resume=True).train()
    assert 'epoch_5.pth' in files(tmp_path)


def test_a_best_one_with_the_weights_of_the_last_is_no_reason_to_fail(tmp_path, full_disk):
    run = runner(tmp_path, save_best='score', rule='greater')
    run.register_hook(at('before_val_epoch', lambda run: full_disk(run.epoch == 5)))
    run.train()
    assert files(tmp_path) == ['best_score_epoch_2.pth', *(f'epoch_{n}.pth' for n in range(1, 6))]


def test_resume_skips_a_torn_checkpoint(tmp_path, capsys):
    runner(tmp_path, epochs=3).train()
    torn = tmp_path / 'epoch_3.pth'
    torn.write_bytes(torn.read_bytes()[:500])
    (tmp_path / '.epoch_4.pth.writing').write_bytes(b'half')
    run = runner(tmp_path, epochs=4, resume=True)
    run.train()
    assert 'epoch_3.pth is skipped' in capsys.readouterr().out
    assert damage(torn) is None  # written anew
    assert files(tmp_path) == [f'epoch_{n}.pth' for n in (1, 2, 3, 4)]
    assert not list(tmp_path.glob('.*'))


@pytest.mark.parametrize('hook', [{}, {'save_best': 'score', 'rule': 'greater'}])
def test_evaluation_without_a_training(tmp_path, hook):
    run = runner(tmp_path, **hook)
    assert run.val() == run.test() == {'score': SCORES[0]}
    assert files(tmp_path) == []
    # and it leaves a training to come as it is
    run.train()
    assert 'epoch_5.pth' in files(tmp_path)
