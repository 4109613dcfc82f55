"""Chains with a stand-in for training: order, hand-over, resuming, refusals, the state file."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from rlepose_ext.chain.run import Options, run_chain
from rlepose_ext.chain.table import find_chain
from rlepose_ext.checkpoints.files import damage, write_sealed
from rlepose_ext.errors import UserError

CONFIG = """
model = dict(backbone=dict(type='A', {init}), head=dict(type='B'))
train_cfg = dict(max_epochs=2)
train_dataloader = dict(batch_size=4, num_workers=2, root='{{{{$RLEPOSE_DATA:data}}}}')
"""
CHAINS = """
three:
  about: for this test
  stages:
  - config: configs/first.py
  - {config: configs/second.py, takes: backbone}
  - {config: configs/third.py, takes: backbone}
"""
FIRST = '{config: configs/first.py}'


class FakeTraining:
    """Takes ``rlepose``'s arguments, keeps them, and leaves a checkpoint like a training."""

    def __init__(self):
        self.calls = []
        self.dies_in = None
        self.last_epoch = 2

    def __call__(self, arguments):
        assert arguments[0] == 'train'
        config = Path(arguments[1])
        folder = Path(arguments[arguments.index('--work-dir') + 1])
        self.calls.append((config.stem, '--resume' in arguments, arguments))
        folder.mkdir(parents=True, exist_ok=True)
        if self.dies_in == config.stem:
            write_checkpoint(folder / 'epoch_1.pth')
            return 137
        write_checkpoint(folder / f'epoch_{self.last_epoch}.pth')
        return 0

    @property
    def stages(self):
        return [(name, resumed) for name, resumed, _ in self.calls]


def write_checkpoint(path):
    write_sealed(partial(torch.save, {'state_dict': {}}), path)


@pytest.fixture
def train():
    return FakeTraining()


@pytest.fixture
def place(tmp_path):
    # --cfg-options would tear such a path apart
    folder = tmp_path / 'a folder, [with] signs'
    (folder / 'configs').mkdir(parents=True)
    (folder / 'chains.yml').write_text(CHAINS)
    init = "init_cfg=dict(type='Pretrained', checkpoint='start.pth', map_location='cpu')"
    for name, text in (('first', ''), ('second', ''), ('third', init)):
        (folder / f'configs/{name}.py').write_text(CONFIG.format(init=text))
    return folder


def run(place, train, *, lines=None, chain='three', **options):
    options = Options(work_dir=place / 'work', **options)
    say = (lambda text: None) if lines is None else lines.append
    return run_chain(find_chain(chain, place / 'chains.yml'), options, say, train)


def state(place):
    return json.loads((place / 'work/chain.json').read_text())


def test_each_stage_starts_from_the_one_before(place, train):
    assert run(place, train) == 0
    assert train.stages == [('first', False), ('second', False), ('third', False)]
    assert Path(train.calls[0][2][1]) == (place / 'configs/first.py').resolve()
    for (_, _, arguments), previous in zip(train.calls[1:], ('first', 'second'), strict=True):
        config = Config.fromfile(arguments[1])
        # what the third had of its own, map_location, is gone
        assert config.model.backbone.init_cfg.to_dict() == {
            'type': 'Pretrained',
            'prefix': 'backbone.',
            'checkpoint': str(place.resolve() / 'work' / previous / 'epoch_2.pth'),
        }
        assert config.model.head.type == 'B'
        assert config.train_cfg.max_epochs == 2
    stages = state(place)['stages'].items()
    assert [(name, stage['status']) for name, stage in stages] == [
        ('first', 'done'), ('second', 'done'), ('third', 'done')
    ]  # fmt: skip
    assert state(place)['stages']['third']['start'] == 'backbone of second'


def test_it_goes_on_where_it_was_stopped(place, train):
    train.dies_in = 'second'
    lines = []
    assert run(place, train, lines=lines) == 137
    assert 'second ended with status 137' in lines[-1]
    assert [stage['status'] for stage in state(place)['stages'].values()] == ['done', 'begun']
    train.dies_in = None
    train.calls.clear()
    lines.clear()
    # what the config says now is what counts from now on
    path = place / 'configs/second.py'
    path.write_text(path.read_text().replace('batch_size=4', 'batch_size=5'))
    assert run(place, train, lines=lines) == 0
    assert train.stages == [('second', True), ('third', False)]
    assert lines[0].startswith('[1/3] first: skip')
    assert 'train_dataloader.batch_size: 4, now 5' in lines[1]
    assert 'goes on from epoch_1.pth' in ''.join(lines[1:3])
    train.calls.clear()
    # nobody needs the checkpoints of finished stages but the last any more
    for name in ('first', 'second'):
        (place / f'work/{name}/epoch_2.pth').unlink()
    assert run(place, train) == 0
    assert train.calls == []


def test_a_stage_that_died_before_its_first_checkpoint_starts_again(place, train):
    assert run(place, lambda arguments: 1) == 1
    assert run(place, train) == 0
    assert train.stages[0] == ('first', False)


def test_a_changed_config_of_a_finished_stage_is_an_error(place, train):
    run(place, train)
    path = place / 'configs/second.py'
    path.write_text(path.read_text().replace('max_epochs=2', 'max_epochs=3'))
    with pytest.raises(UserError, match='second is finished') as error:
        run(place, train)
    assert 'train_cfg.max_epochs: 2, now 3' in str(error.value)
    path.write_text(path.read_text().replace('max_epochs=3', 'max_epochs=2'))
    with pytest.raises(UserError, match=r'batch_size: 4, now 8'):
        run(place, train, cfg_options=('train_dataloader.batch_size=8',))
    with pytest.raises(UserError, match='--amp: false, now true'):
        run(place, train, amp=True)
    assert len(train.calls) == 3


def test_what_does_not_change_the_training_may_change(place, train, monkeypatch):
    run(place, train)
    monkeypatch.setenv('RLEPOSE_DATA', '/moved/there')
    assert run(place, train, cfg_options=('train_dataloader.num_workers=0',)) == 0
    assert len(train.calls) == 3
    moved = place.with_name('moved')
    place.rename(moved)
    assert run(moved, train) == 0
    assert len(train.calls) == 3


def test_a_damaged_last_checkpoint_is_made_again_from_the_one_before(place, train):
    run(place, train)
    folder = place / 'work/third'
    write_checkpoint(folder / 'epoch_1.pth')
    (folder / 'epoch_2.pth').write_bytes(b'PK')
    train.calls.clear()
    lines = []
    assert run(place, train, lines=lines) == 0
    assert train.stages == [('third', True)]
    assert 'goes on from epoch_1.pth' in lines[2]
    assert damage(folder / 'epoch_2.pth') is None
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError, match='it does not exist'):
        run(place, train)


def test_a_training_that_ended_without_its_last_checkpoint_is_not_finished(place, train):
    train.last_epoch = 1  # as on a full disk
    with pytest.raises(UserError, match=r'without its last checkpoint: the newest is epoch_1\.pth'):
        run(place, train)
    assert state(place)['stages']['first']['status'] == 'begun'
    train.last_epoch = 2
    train.calls.clear()
    assert run(place, train) == 0
    assert train.stages[0] == ('first', True)


def test_options_reach_every_stage_but_where_it_starts_only_the_first(place, train):
    options = ('model.backbone.init_cfg=None', 'train_dataloader.batch_size=8')
    run(place, train, cfg_options=options, amp=True, forwarded=('--gpus=2',), launcher='pytorch')
    for number, (_, _, arguments) in enumerate(train.calls):
        at = arguments.index('--cfg-options')
        assert tuple(arguments[at + 1 :]) == (options if number == 0 else options[1:])
        assert {'--amp', '--gpus=2', 'pytorch'} <= set(arguments[:at])
        assert '--auto-scale-lr' not in arguments


def test_chains_share_stages_that_they_have_in_common(place, train):
    (place / 'chains.yml').write_text(CHAINS + CHAINS.replace('three:', 'two:').split('  - {')[0])
    run(place, train, chain='two')
    run(place, train)
    assert train.stages == [('first', False), ('second', False), ('third', False)]


def test_the_first_stage_needs_its_file(place, train, monkeypatch):
    path = place / 'configs/first.py'
    path.write_text(CONFIG.format(init="init_cfg=dict(checkpoint='{{$RLEPOSE_WEIGHTS:w}}/a.pth')"))
    monkeypatch.setenv('RLEPOSE_WEIGHTS', str(place))
    with pytest.raises(UserError, match=r'a\.pth, which does not exist'):
        run(place, train)
    assert not (place / 'work/chain.json').exists()
    assert run(place, train, cfg_options=('model.backbone.init_cfg=None',)) == 0
    (place / 'a.pth').touch()
    path.write_text(CONFIG.format(init="init_cfg=dict(checkpoint='https://somewhere/a.pth')"))
    assert run(place, train, cfg_options=('model.backbone.init_cfg=None',)) == 0


def test_folders_of_unknown_origin_are_left_alone(place, train):
    folder = place / 'work/second'
    folder.mkdir(parents=True)
    write_checkpoint(folder / 'epoch_9.pth')
    with pytest.raises(UserError, match='says nothing of them'):
        run(place, train)
    assert train.calls == []


def test_a_state_file_that_is_none(place, train):
    run(place, train)
    path = place / 'work/chain.json'
    for text in ('', '[]', '{"format": 9}', '{"format": 1, "stages": {"a": {"status": "gone"}}}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r'chain\.json does not say how far'):
            run(place, train)
    assert len(train.calls) == 3


def test_a_later_stage_without_the_one_it_starts_from(place, train):
    run(place, train)
    path = place / 'work/chain.json'
    content = state(place)
    del content['stages']['first']
    path.write_text(json.dumps(content))
    (place / 'work/first/epoch_2.pth').unlink()
    with pytest.raises(UserError, match=r'second in .* is done, but first'):
        run(place, train)


@pytest.mark.parametrize(('text', 'message'), [
    ('', 'expected chains by name, got nothing'),
    ('a: [', 'cannot be read'),
    ('a: {about: x}', 'missing key stages'),
    ('a: {stages: []}', 'at least one'),
    ('a: {stages: [{config: configs/first.py, take: x}]}', 'unknown key take'),
    ('a: {stages: [{config: nowhere.py}]}', r'nowhere\.py does not exist'),
    ('a: {stages: [{config: configs/first.py, takes: x}]}', 'none before it'),
    ('a: {stages: [{config: configs/first.py}, {config: configs/third.py}]}', 'what it takes'),
    (f'a: {{stages: [{FIRST}, {{config: configs/first.py, takes: x}}]}}', 'two stages'),
    (f'a: {{stages: [{FIRST}, {{config: configs/third.py, takes: 7}}]}}', 'takes must be'),
])  # fmt: skip
def test_files_of_chains_that_are_wrong(place, train, text, message):
    (place / 'chains.yml').write_text(text)
    with pytest.raises(UserError, match=message) as error:
        find_chain('a', place / 'chains.yml')
    assert 'chains.yml' in str(error.value)
    (place / 'chains.yml').write_text(CHAINS.replace('takes: backbone}', 'takes: neck}'))
    with pytest.raises(UserError, match='the model has no neck'):
        run(place, train)
