"""``rlepose lip``: the options of the original, what they become, and one real run."""

import importlib
import re

import pytest
import torch

from rlepose_ext.cli import lip
from rlepose_ext.cli.main import build_parser, main
from rlepose_ext.resources import resource

FAITHFUL = str(resource(lip.CONFIGS['faithful']))
STEM = 'heatmap-sigmoid_res18_1xb32-20e_lip-256x256'


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What would be handed to ``rlepose train`` and ``rlepose test``, and be drawn."""
    monkeypatch.chdir(tmp_path)
    seen = []

    def trained(arguments):
        seen.append(arguments)
        if arguments[0] == 'train':
            checkpoint(tmp_path / arguments[3] / 'epoch_20.pth', 20)
        return 0

    monkeypatch.setattr(lip, 'rlepose', trained)
    monkeypatch.setattr(
        lip, 'visualise', lambda args, config, work_dir, checkpoint: seen.append(checkpoint)
    )
    return seen


def checkpoint(path, epoch, optimizer=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {'state_dict': {'a': torch.zeros(1)}, 'meta': {'epoch': epoch}}
    torch.save(content | ({'optimizer': {}} if optimizer else {}), path)
    return str(path)


def test_every_option_of_the_original_is_there():
    parser = build_parser()
    short = '-t -v -vis -e 3 -eo 2 -gt -ct 0.25 -skel --weights-path w.pth'
    long = '--train --validate --visualise --epoch-count 3 --epoch-offset 2 --show-gt '
    long += '--conf-threshold 0.25 --draw-skeleton --weights_path w.pth'
    a, b = (parser.parse_args(['lip', *text.split()]) for text in (short, long))
    assert vars(a) == vars(b)
    assert (a.train, a.validate, a.visualise, a.show_gt, a.draw_skeleton) == (True,) * 5
    assert (a.epoch_count, a.epoch_offset, a.conf_threshold) == (3, 2, 0.25)
    assert a.weights_path == 'w.pth'


def test_a_training_epochs_and_weights(calls, tmp_path, monkeypatch):
    assert main(['lip']) == 0
    assert calls == [['train', FAITHFUL, '--work-dir', f'work_dirs/{STEM}']]
    calls.clear()
    weights = checkpoint(tmp_path / 'w.pth', 7, optimizer=False)
    arguments = ['lip', '-t', '-e', '5', '--weights-path', weights, '--work-dir', 'out']
    assert main([*arguments, '--cfg-options', 'a=1', 'b=2']) == 0
    expected = ['--cfg-options', 'a=1', 'b=2', f'load_from={weights}', 'train_cfg.max_epochs=5']
    assert calls == [['train', FAITHFUL, '--work-dir', 'out', *expected]]
    # one that fails is not validated
    monkeypatch.setattr(lip, 'rlepose', lambda arguments: 3)
    assert main(['lip', '-t', '-v']) == 3


def test_offset_goes_on(calls, tmp_path):
    first = checkpoint(tmp_path / 'out' / 'epoch_4.pth', 4)
    assert main(['lip', '-t', '-eo', '4', '-e', '3', '--work-dir', 'out']) == 0
    assert calls[0][4:] == ['--resume', 'out/epoch_4.pth', '--cfg-options',
                            'train_cfg.max_epochs=7']  # fmt: skip
    assert main(['lip', '-eo', '4', '--weights-path', first]) == 0
    assert calls[1][4:] == ['--resume', first, '--cfg-options', 'train_cfg.max_epochs=24']


def test_order_and_checkpoints(calls, tmp_path):
    weights = checkpoint(tmp_path / 'w.pth', 7)
    assert main(['lip', '-vis', '-v', '--weights-path', weights, '--config', 'modern']) == 0
    modern = str(resource(lip.CONFIGS['modern']))
    work_dir = 'work_dirs/heatmap_res18_1xb64-210e_lip-256x256'
    assert calls == [['test', modern, '-C', weights, '--work-dir', work_dir], weights]
    calls.clear()
    # after a training it is that training which is looked at
    assert main(['lip', '-vis', '-v', '-t', '--weights-path', weights]) == 0
    newest = f'work_dirs/{STEM}/epoch_20.pth'
    assert [call[0] for call in calls[:2]] == ['train', 'test']
    assert calls[1][3] == calls[2] == newest
    calls.clear()
    assert main(['lip', '-v']) == 0
    assert calls[0][3] == newest


@pytest.mark.parametrize(('text', 'message'), [
    ('-v', 'no checkpoint in work_dirs'),
    ('-t --weights-path no.pth', "'no.pth' does not exist"),
    ('-t -eo 2', "epoch_2.pth' does not exist"),
    ('-t -eo 2 --weights-path w.pth', 'w.pth was written after epoch 7'),
    ('-t -eo 7 --weights-path plain.pth', 'no state of the optimizer'),
    ('-e 0', '--epoch-count 0'),
    ('-v -e 3', 'add --train'),
    ('-vis -gt --images a.jpg', '--show-gt needs labels'),
    ('--config nowhere.py', "'nowhere.py' does not exist"),
])  # fmt: skip
def test_mistakes_end_with_status_2(calls, tmp_path, capsys, text, message):
    checkpoint(tmp_path / 'w.pth', 7)
    checkpoint(tmp_path / 'plain.pth', 7, optimizer=False)
    assert main(['lip', *text.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith('rlepose: error: ')
    assert message in error
    assert calls == []


@pytest.mark.slow
def test_a_real_run(root, tmp_path, monkeypatch, capsys):
    """Train, validate and draw in one command; go on for an epoch; draw a picture of one's own."""
    monkeypatch.syspath_prepend(root / 'tests' / 'annotations')
    importlib.import_module('lip_drawn').draw_lip(tmp_path / 'data' / 'lip')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('RLEPOSE_DATA', 'data')
    # Both take seconds: asking compilers for their versions, formatting metainfo for the log.
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.Config.pretty_text', 'not = "formatted"')
    small = ['model.backbone.init_cfg=None', 'model.backbone.base_channels=16']
    small += ['model.backbone.stem_channels=16', 'model.head.in_channels=128']
    small += ['model.head.deconv_out_channels=(16,16,16)']
    small += ['train_dataloader.batch_size=2', 'train_dataloader.dataset.indices=4']
    for split in ('train', 'val', 'test'):
        small += [f'{split}_dataloader.num_workers=0', f'{split}_dataloader.persistent_workers=0']

    def rlepose(*arguments):
        """What is on the screen, and in the logs."""
        command = ['lip', '--work-dir', 'work', *map(str, arguments), '--cfg-options', *small]
        assert main(command) == 0
        logs = sorted((tmp_path / 'work').glob('*/*.log'))
        return capsys.readouterr().out + ''.join(log.read_text() for log in logs)

    said = rlepose('-t', '-v', '-vis', '-e', 1, '-gt', '-skel', '--count', 3)
    assert 'Saving checkpoint at 1 epochs' in said
    assert re.search(r'Epoch\(test\).*PCKh/U\.Body: .*PCKh/Total: .*PCKh/skipped: 1', said)
    assert 'work/visualise: 3 pictures' in said
    pictures = sorted(path.name for path in (tmp_path / 'work/visualise').iterdir())
    assert pictures == ['val0.png', 'val1.png', 'val2.png']

    image = tmp_path / 'data/lip/val_images/val3.png'
    said = rlepose('-t', '-vis', '-eo', 1, '-e', 1, '--images', image, '--out', 'mine')
    assert 'resumed epoch: 1' in said
    assert (tmp_path / 'work/epoch_2.pth').is_file()
    assert not (tmp_path / 'work/epoch_3.pth').exists()
    assert (tmp_path / 'mine/val3.png').is_file()
