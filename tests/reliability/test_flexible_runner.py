"""mmengine's FlexibleRunner has what its Runner has: hooks, guards, and a resume that is exact."""

import socket
from pathlib import Path

import pytest
import torch
from _nursery import Nursery
from resume_training import BATCHES, At, differences, final, finish, kill, runner, stop, terminate
from torch import nn

from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.errors import UserError

HERE = Path(__file__).resolve().parent
# mmengine's own cannot resume with an EMAHook, which it asks too early
KIND = {'kind': 'FlexibleRunner', 'average': False}


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    runner(folder, **KIND).train()
    return folder


def test_it_trains_as_runner_does(undisturbed, tmp_path):
    runner(tmp_path, average=False).train()
    assert differences(final(tmp_path), final(undisturbed)) == []


@pytest.mark.parametrize(('moment', 'iteration', 'how'), [
    ('after_train_iter', BATCHES + 2, kill),
    ('after_train_iter', BATCHES + 2, terminate),
    ('before_val', 2 * BATCHES, terminate),
    ('after_val_iter', 2 * BATCHES, terminate),
])  # fmt: skip
def test_stopped_it_goes_on_exactly(tmp_path, undisturbed, moment, iteration, how):
    stop(tmp_path, moment, iteration, how, **KIND)
    finish(tmp_path, **KIND)
    assert differences(final(tmp_path), final(undisturbed)) == []


def test_a_loss_that_is_nan_ends_it(tmp_path):
    run = runner(tmp_path, **KIND)
    spoil = At(
        'before_train_epoch', BATCHES, lambda: run.model.layers[0].bias.data.fill_(torch.nan)
    )
    run.register_hook(spoil)
    with pytest.raises(UserError, match='the loss is nan'):
        run.train()


def test_config_text_in_a_checkpoint_is_not_executed(tmp_path, undisturbed):
    executed = tmp_path / 'executed'
    checkpoint = load_file(undisturbed / 'epoch_4.pth')
    checkpoint['meta']['config'] = f'__import__("os").mkdir({str(executed)!r})\n'
    torch.save(checkpoint, tmp_path / 'text.pth')
    resume = str(tmp_path / 'text.pth')
    runner(tmp_path, resume=resume, epochs=5, **KIND).train()
    assert not executed.exists()
    assert (tmp_path / 'epoch_5.pth').is_file()


@pytest.fixture
def other(tmp_path, undisturbed):
    """A checkpoint of a model with another last layer."""
    checkpoint = load_file(undisturbed / 'epoch_4.pth')
    checkpoint['state_dict']['layers.4.weight'] = torch.zeros(2, 8)
    torch.save(checkpoint, tmp_path / 'other.pth')
    return str(tmp_path / 'other.pth')


def test_a_checkpoint_of_another_model_is_refused(tmp_path, other):
    for arguments in ({'resume': other}, {'load_from': other, 'resume': True}):
        with pytest.raises(UserError, match=r'file \(2, 8\), model \(1, 8\)'):
            runner(tmp_path, **arguments, **KIND).train()
    with pytest.raises(UserError, match='of another model'):
        runner(tmp_path, load_from=other, **KIND).val()


def test_part_of_one_loads_to_fine_tune_or_when_asked_for(tmp_path, other, capsys):
    run = runner(tmp_path, load_from=other, epochs=1, **KIND)
    run.train()
    assert 'Fine-tuning from' in capsys.readouterr().out
    nn.init.zeros_(run.model.layers[0].weight)
    run.load_checkpoint(other, strict=False)
    assert run.model.layers[0].weight.abs().sum() > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason='NHWC is for runs on the CPU')
def test_its_backbone_is_nhwc_on_the_cpu(tmp_path):
    import mmpose.models  # noqa: F401  (registers them)

    head = {
        'type': 'RegressionHead',
        'in_channels': 1280,
        'num_joints': 2,
        'loss': {'type': 'SmoothL1Loss'},
    }
    backbone = {'type': 'MobileNetV2', 'widen_factor': 0.5}
    neck = {'type': 'GlobalAveragePooling'}
    model = {'type': 'TopdownPoseEstimator', 'backbone': backbone, 'neck': neck, 'head': head}
    built = runner(tmp_path, **KIND).strategy.build_model(model)
    assert built.backbone.conv1.conv.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='two processes on gloo: no GPU')
def test_two_processes_stop_together_and_go_on_exactly(tmp_path):
    modules = ['rlepose_ext', 'mmengine.runner', 'rlepose_ext.engine.hooks', 'resume_training']

    def train(folder, **arguments):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = str(probe.getsockname()[1])
        folder.mkdir(exist_ok=True)
        hooks = [{'type': 'rlepose_ext.InterruptHook', 'seconds': 1e-9}]
        arguments.update(KIND, folder=str(folder), launcher='pytorch', hooks=hooks, epochs=2)
        children = []
        for rank in ('0', '1'):
            place = {'RANK': rank, 'LOCAL_RANK': rank, 'WORLD_SIZE': '2'}
            place.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
            log = folder / f'log_{rank}.txt'
            children.append(nursery.start('resume_training:train', arguments, log, place))
        return [nursery.wait(child) for child in children]

    def weights(folder):
        return load_file(folder / 'epoch_2.pth')['state_dict']

    with Nursery(modules, [HERE]) as nursery:
        assert train(tmp_path / 'whole') == [0, 0], (tmp_path / 'whole/log_0.txt').read_text()
        assert train(tmp_path / 'parts', stop_at=('after_train_iter', 1)) == [143, 143]
        assert train(tmp_path / 'parts', resume=True) == [0, 0]
    assert differences(weights(tmp_path / 'parts'), weights(tmp_path / 'whole')) == []
