"""A training that was stopped, at any moment, ends as one that was not, bit by bit."""

import signal

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from resume_training import (
    BATCHES,
    EPOCHS,
    At,
    Killed,
    Numbers,
    differences,
    end_workers,
    final,
    finish,
    kill,
    runner,
    stop,
    terminate,
)
from torch.utils.data import DataLoader, IterableDataset

from rlepose_ext.checkpoints.safe_load import load_file

MOMENTS = [
    ('after_train_iter', 2),
    ('before_val', 2 * BATCHES),
    ('after_val_iter', 2 * BATCHES),
    *(
        pytest.param(*each, marks=pytest.mark.slow)
        for each in (
            ('before_train_iter', BATCHES),
            ('after_train_epoch', BATCHES),
            ('after_val', 3 * BATCHES),
            ('before_train_epoch', 3 * BATCHES),
            ('after_train_iter', EPOCHS * BATCHES - 1),
            ('after_val_iter', EPOCHS * BATCHES),
        )
    ),
]


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    runner(folder).train()
    return final(folder)


@pytest.mark.parametrize(('moment', 'iteration'), MOMENTS)
def test_killed(tmp_path, undisturbed, moment, iteration):
    stop(tmp_path, moment, iteration, kill)
    finish(tmp_path)
    assert differences(final(tmp_path), undisturbed) == []


@pytest.mark.parametrize(('moment', 'iteration'), MOMENTS)
def test_terminated(tmp_path, undisturbed, moment, iteration):
    before = signal.getsignal(signal.SIGTERM)
    stopped, leaving = stop(tmp_path, moment, iteration)
    assert leaving.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = finish(tmp_path)
    assert differences(final(tmp_path), undisturbed) == []
    assert stopped.model.seen + resumed.model.seen == dealt_out(), 'work done twice'
    assert not (tmp_path / 'interrupted.pth').exists()


def dealt_out():
    """The samples of all batches in order, as the sampler deals them out."""
    order = []
    for epoch in range(EPOCHS):
        generator = torch.Generator().manual_seed(3 + epoch)
        indices = torch.randperm(len(Numbers()), generator=generator).tolist()
        order += [indices[i : i + 4] for i in range(0, len(indices), 4)]
    return order


@pytest.mark.slow
def test_workers_change_nothing(tmp_path, undisturbed):
    stopped, _ = stop(tmp_path, 'after_train_iter', BATCHES + 1, workers=2)
    end_workers(stopped)
    end_workers(finish(tmp_path, workers=1))
    assert differences(final(tmp_path), undisturbed) == []


@pytest.mark.slow
def test_stopped_again_and_again_without_a_seed(tmp_path):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    first = runner(parts, seed=None, hooks=[At('after_train_iter', 1, terminate)])
    with pytest.raises(SystemExit):
        first.train()
    for iteration, how in ((4, terminate), (9, kill), (13, terminate), (14, terminate)):
        stop(parts, 'after_train_iter', iteration, how, seed=None, resume=True)
    finish(parts, seed=None)
    runner(whole, seed=first.seed).train()
    assert differences(final(parts), final(whole)) == []


def test_a_missing_validation_is_made_up_for_once(tmp_path, capsys):
    stop(tmp_path, 'before_val', 2 * BATCHES, kill)
    capsys.readouterr()
    stop(tmp_path, 'after_train_iter', 2 * BATCHES, resume=True)
    assert capsys.readouterr().out.count('making up for the validation') == 1
    finish(tmp_path)
    assert 'making up' not in capsys.readouterr().out


def test_training_does_not_depend_on_validation(tmp_path, undisturbed):
    val_cfg = {'by_epoch': True, 'max_epochs': EPOCHS, 'val_interval': 2}
    runner(tmp_path, train_cfg=val_cfg).train()
    found = {name: value for name, value in final(tmp_path).items() if name != 'best'}
    reference = {name: value for name, value in undisturbed.items() if name != 'best'}
    assert differences(found, reference) == []


def test_the_checkpoint_is_safe_to_load_and_the_note_names_it(tmp_path):
    stop(tmp_path, 'after_train_iter', 3)
    path = tmp_path / 'interrupted.pth'
    assert (tmp_path / 'last_checkpoint').read_text() == str(path)
    state = load_file(path)['rlepose_resume']
    assert state['position'] == {'epoch': 0, 'iteration': 4, 'batch': 4, 'validated': False}
    assert state['layout'] == {'processes': 1, 'batch_size': 4, 'batches': 6, 'samples': 22}


@pytest.mark.slow
def test_a_checkpoint_of_stock_resumes_as_in_stock(tmp_path, capsys):
    stop(tmp_path, 'after_train_iter', 8, kill)
    path = tmp_path / 'epoch_1.pth'
    found = torch.load(path, weights_only=False)
    del found['rlepose_resume']
    torch.save(found, path)
    run = finish(tmp_path)
    assert 'neither random state nor a place in the epoch' in capsys.readouterr().out
    assert run.iter == EPOCHS * BATCHES


@pytest.mark.slow
def test_another_batch_size(tmp_path, capsys):
    """As another number of processes: 13 of 22 samples are done, batches are twice as large."""
    loader = dict(
        batch_size=8,
        num_workers=0,
        sampler={'type': 'DefaultSampler', 'shuffle': True},
        dataset={'type': 'Numbers', 'pipeline': [{'type': 'DrawNoise'}]},
        collate_fn={'type': 'default_collate'},
    )
    stop(tmp_path, 'after_train_iter', BATCHES + 2)
    capsys.readouterr()
    run = finish(tmp_path, train_dataloader=loader)
    text = capsys.readouterr().out
    assert 'an iteration has 8 samples in all, not 4' in text
    assert 'at iteration 2 of 3, after 3 of 6: 4 samples are seen again' in text
    assert run.iter == EPOCHS * 3
    order = [number for batch in run.model.seen[:2] for number in batch]
    assert order == [n for batch in dealt_out()[BATCHES + 2 : 2 * BATCHES] for n in batch]
    # the warm-up, given in iterations, is not stretched; the cosine over all epochs is
    warm_up, cosine = run.param_schedulers
    assert (warm_up.last_step, cosine.T_max, cosine.last_step) == (7, 12, 11)
    fresh = runner(tmp_path / 'fresh', train_dataloader=loader)
    fresh.train()
    # rounding down to 4 of 12 iterations, where 4.5 were done, leaves it higher
    ours, theirs = (r.optim_wrapper.get_lr()['lr'][0] for r in (run, fresh))
    assert theirs == pytest.approx(ours, rel=0.2)


class Restless(EpochBasedTrainLoop):
    def run_epoch(self):
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in enumerate(self.dataloader):
            self.run_iter(number, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


def test_a_loop_of_its_own_begins_the_epoch_anew(tmp_path, capsys):
    stop(tmp_path, 'after_train_iter', BATCHES + 2)
    run = finish(tmp_path, train_cfg={'type': Restless, 'max_epochs': EPOCHS})
    assert 'has a run_epoch of its own' in capsys.readouterr().out
    assert run.iter == EPOCHS * BATCHES
    assert len(run.model.seen) == (EPOCHS - 1) * BATCHES


def test_iterations_instead_of_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # two seconds at each new pass
    arguments = dict(
        train_cfg={'by_epoch': False, 'max_iters': 14, 'val_interval': 5},
        param_scheduler=[{'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 9}],
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 4, 'by_epoch': False}},
        custom_hooks=[{'type': 'EMAHook', 'momentum': 0.1}],
        val_evaluator={'type': 'MeanOutput'},
        log_processor={'by_epoch': False},
    )

    def result(folder):
        found = load_file(folder / 'iter_14.pth')
        return {**found['state_dict'], **found['ema_state_dict']}

    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    runner(whole, **arguments).train()
    for iteration, how in ((2, terminate), (6, kill), (9, terminate)):
        run = runner(parts, resume=True, **arguments)
        run.register_hook(At('after_train_iter', iteration, how))
        with pytest.raises((SystemExit, Killed)):
            run.train()
    finish(parts, **arguments)
    assert differences(result(parts), result(whole)) == []


class Stream(IterableDataset):
    def __iter__(self):
        for number in range(8):
            yield {'inputs': torch.full((4,), float(number)), 'number': torch.tensor(number)}

    def __len__(self):
        return 8


def test_streams_are_read_again(tmp_path):
    def loader():
        return DataLoader(Stream(), batch_size=4)

    arguments = dict(train_dataloader=loader(), custom_hooks=[], epochs=1)
    run = runner(tmp_path, **arguments)
    run.register_hook(At('after_train_iter', 0, terminate))
    with pytest.raises(SystemExit):
        run.train()
    run = finish(tmp_path, **{**arguments, 'train_dataloader': loader()})
    assert run.model.seen == [[4, 5, 6, 7]]
