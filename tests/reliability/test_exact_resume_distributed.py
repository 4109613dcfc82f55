"""Several processes stop together and go on exactly; on another number of them they say so."""

import json
import shutil
import signal
import socket
from pathlib import Path

import pytest
import torch
from _nursery import Nursery

from rlepose_ext.checkpoints.safe_load import load_file

HERE = Path(__file__).resolve().parent
SECONDS_BETWEEN_CALLS = 1e-9  # compare notes after each iteration
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='two processes on gloo: no GPU'),
]


@pytest.fixture(scope='module')
def nursery():
    modules = ['rlepose_ext', 'mmengine.runner', 'rlepose_ext.engine.hooks', 'resume_training']
    with Nursery(modules, [HERE]) as running:
        yield running


def train(nursery, folder, processes=2, views=None, **arguments):
    """Exit statuses of the processes of one training.

    With ``views``, a folder for each, their work directory has one name and differs.
    """
    folder.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    arguments['launcher'] = 'pytorch' if processes > 1 else 'none'
    arguments['hooks'] = [{'type': 'rlepose_ext.InterruptHook', 'seconds': SECONDS_BETWEEN_CALLS}]
    # Processes that have lost each other fail, instead of waiting for half an hour.
    arguments['env_cfg'] = {'dist_cfg': {'backend': 'gloo', 'timeout': 120}}
    # Each process with a seed of its own, and the order of samples with one that no config has.
    arguments['randomness'] = {'seed': 3, 'diff_rank_seed': processes > 1}
    children = []
    for rank in range(processes):
        environment = {
            'RANK': str(rank),
            'LOCAL_RANK': str(rank),
            'WORLD_SIZE': str(processes),
            'MASTER_ADDR': '127.0.0.1',
            'MASTER_PORT': port,
        }
        children.append(
            nursery.start(
                'resume_training:train',
                {'folder': str(folder), 'view': views and str(views[rank]), **arguments},
                folder / f'log_{rank}.txt',
                environment,
            )
        )
    return [nursery.wait(child) for child in children]


def final(folder):
    found = load_file(folder / 'epoch_3.pth')
    return {**found['state_dict'], **{f'ema.{n}': v for n, v in found['ema_state_dict'].items()}}


@pytest.fixture(scope='module')
def undisturbed(nursery, tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    assert train(nursery, folder, epochs=3) == [0, 0]
    return folder


@pytest.mark.parametrize('whose', ['model', 'average'])
def test_buffers_are_equal_at_the_end(undisturbed, whose):
    first, second = (torch.load(undisturbed / f'buffers_{rank}.pt')[whose] for rank in (0, 1))
    assert 'layers.1.running_mean' in first
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    # the checkpoint's weights are those of the average
    saved = load_file(undisturbed / 'epoch_3.pth')['state_dict']
    assert whose == 'model' or all(torch.equal(saved[name], first[name]) for name in first)


# A signal to one process, in an epoch and in a validation, of which rank 0 has one batch more.
@pytest.mark.parametrize(('moment', 'iteration'), [('after_train_iter', 4), ('before_val_iter', 6)])
def test_both_stop_and_go_on_exactly(nursery, tmp_path, undisturbed, moment, iteration):
    status = train(
        nursery, tmp_path, epochs=3, stop_at=[moment, iteration], stop_rank=1, send=signal.SIGUSR1
    )
    assert status == [128 + signal.SIGUSR1] * 2, (tmp_path / 'log_1.txt').read_text()
    if moment == 'after_train_iter':
        # Statistics of BatchNorm become one at the end of an epoch; until then each has its own.
        processes = load_file(tmp_path / 'interrupted.pth')['rlepose_resume']['processes']
        names = [{name.rpartition('.')[2] for name in one['buffers']} for one in processes]
        assert names == [set(), {'running_mean', 'running_var'}]
    assert train(nursery, tmp_path, epochs=3, resume=True) == [0, 0]
    ours, theirs = final(tmp_path), final(undisturbed)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_the_last_save_is_made_up_for(nursery, tmp_path, undisturbed):
    """Only the first process saves, and both are asked for their state."""
    assert train(nursery, tmp_path, epochs=3, full_from=6) == [0, 0]
    assert 'epoch_3.pth was NOT saved: No space left' in (tmp_path / 'log_0.txt').read_text()
    ours, theirs = final(tmp_path), final(undisturbed)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_one_process_chooses_where_all_go_on(nursery, tmp_path, undisturbed):
    """The second one's view of the folder is an epoch behind, as with a slow file system."""
    here, behind = tmp_path / 'here', tmp_path / 'behind'
    train(nursery, here, epochs=3, stop_at=['after_train_iter', 7])
    shutil.copytree(here, behind)
    (behind / 'last_checkpoint').write_text('epoch_1.pth')
    assert train(nursery, here, epochs=3, resume=True, views=[here, behind]) == [0, 0]
    ours, theirs = final(here), final(undisturbed)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_a_process_that_cannot_see_the_file_says_so(nursery, tmp_path):
    """As on two machines that share no folder."""
    first, second = tmp_path / 'first', tmp_path / 'second'
    second.mkdir()
    assert train(nursery, first, epochs=1) == [0, 0]
    (first / 'last_checkpoint').unlink()  # it names a path that both can see
    status = train(nursery, first, epochs=2, resume=True, views=[first, second])
    assert 0 not in status
    assert 'process 0 resumes from' in (first / 'log_1.txt').read_text()


def test_from_two_processes_to_one(nursery, tmp_path, undisturbed):
    train(nursery, tmp_path, epochs=3, stop_at=['after_train_iter', 3])
    assert train(nursery, tmp_path, processes=1, epochs=3, resume=True) == [0]
    text = (tmp_path / 'log_0.txt').read_text()
    assert '2 processes then, 1 now' in text
    assert 'an iteration has 4 samples in all, not 8' in text
    # one of three iterations of the second epoch was done: two of six
    assert 'at iteration 3 of 6, after 1 of 3: 0 samples are seen again' in text
    both = [json.loads((undisturbed / f'seen_{rank}.json').read_text()) for rank in (0, 1)]
    alone = json.loads((tmp_path / 'seen_0.json').read_text())
    dealt = [number for pair in zip(both[0][4], both[1][4], strict=True) for number in pair]
    assert alone[0] + alone[1] == dealt


def test_from_one_process_to_two(nursery, tmp_path):
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    assert train(nursery, whole, processes=1, epochs=3) == [0]
    train(nursery, broken, processes=1, epochs=3, stop_at=['after_train_iter', 9])
    assert train(nursery, broken, epochs=3, resume=True) == [0, 0]
    text = (broken / 'log_0.txt').read_text()
    assert '1 process then, 2 now' in text
    assert 'an iteration has 8 samples in all, not 4' in text
    assert 'at iteration 3 of 3, after 4 of 6: 0 samples are seen again' in text
    alone = json.loads((whole / 'seen_0.json').read_text())
    both = [json.loads((broken / f'seen_{rank}.json').read_text()) for rank in (0, 1)]
    dealt = [number for pair in zip(both[0][0], both[1][0], strict=True) for number in pair]
    assert dealt == alone[10] + alone[11]
