"""Two processes with half of the batch each compute what one process computes.

The project's RLE config at its smallest, drawn people, gloo on the CPU, no augmentation.
torchrun runs two_ranks_worker.py once for all tests here; the single process is this one.
"""

import csv
import json
import math
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import two_ranks_worker as worker

from rlepose_ext.datasets.synthetic import write_dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='two ranks on one GPU; needs gloo'),
]


# 16 images
ITERATIONS = 2 * worker.EPOCHS


@contextmanager
def single_process(folder):
    """The variables that the worker sees in a launcher's place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv('WORLD_SIZE', raising=False)
        patch.setenv('RLEPOSE_DATA', str(folder))
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Drawn people, and a start checkpoint."""
    folder = tmp_path_factory.mktemp('ranks')
    config = {'persons': (1.0,)}
    drawn = write_dataset(folder / 'synthetic', 16, max(worker.EVALUATED)[0], seed=0, config=config)
    content = json.loads(drawn.train_json.read_text())
    # Rank 1 finds no label in its first batch.
    for person in content['annotations'][1 : worker.BATCH : 2]:
        person['keypoints'][2::3] = [0] * 17
    # and in its second batch a nose far off its crop.
    content['annotations'][worker.BATCH + 1]['keypoints'][:3] = [1e5, 1e5, 2]
    drawn.train_json.with_name('half_labelled.json').write_text(json.dumps(content))

    model, predicted = start_model(folder)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / 'start.pth')
    # A model that has learnt nothing finds nobody, and 0 is equal to 0: the labels come to it,
    # the farther off the higher the number of the person.
    content = json.loads(drawn.val_json.read_text())
    noise = np.random.default_rng(0).normal(0, 2, (len(predicted), 17, 2))
    for index, person in enumerate(content['annotations']):
        labels = predicted[index] + noise[index] * (1 + index)
        person['keypoints'] = np.column_stack([labels, np.full(17, 2)]).ravel().tolist()
        person['num_keypoints'] = 17
    for count in {count for count, _ in worker.EVALUATED}:
        part = {k: v[:count] if k in ('images', 'annotations') else v for k, v in content.items()}
        drawn.val_json.with_name(f'val{count}.json').write_text(json.dumps(part))
    return folder


def start_model(folder):
    """A model that predicts about the same pose for every box, and what it predicts."""
    with single_process(folder):
        runner = worker.QuickRunner.from_cfg(worker.base_config(folder, 'start', load_from=None))
    model = runner.model
    model.init_weights()
    with torch.no_grad():
        model.head.fc.weight.view(17, 4, -1)[:, :2] *= 0.1
        model.head.fc.bias.view(17, 4)[:, :2] = torch.linspace(0.2, 0.8, 17)[:, None]
        samples = [each for batch in runner.test_dataloader for each in model.test_step(batch)]
    return model, [sample.pred_instances.keypoints[0] for sample in samples]


@pytest.fixture(scope='module')
def one(folder):
    with single_process(folder):
        worker.run_all(folder)
    return json.loads((folder / 'rank0of1.json').read_text())


@pytest.fixture(scope='module')
def two(folder):
    script = Path(worker.__file__)
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [str(script), str(folder)]
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    run = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return [json.loads((folder / f'rank{rank}of2.json').read_text()) for rank in (0, 1)]


def mean_losses(two, name):
    """The loss of the whole batch: the mean over the ranks, which have equal shares."""
    return [sum(pair) / 2 for pair in zip(*(rank[name]['losses'] for rank in two), strict=True)]


def difference(one, two, name):
    """Largest difference of the loss curves, relative to the largest loss so far from zero."""
    pairs = zip(one[name]['losses'], mean_losses(two, name), strict=True)
    return max(abs(a - b) / abs(a) for a, b in pairs)


def test_loss_curve_with_frozen_statistics(one, two):
    losses = one['frozen']['losses']
    assert len(losses) == ITERATIONS
    # something is learnt, so that a wrong gradient would show
    assert losses[-2] < 0.9 * losses[0]
    assert difference(one, two, 'frozen') < 1e-4
    assert two[0]['frozen']['losses'] != two[1]['frozen']['losses']
    assert two[0]['frozen']['wrapper'] == 'MMDistributedDataParallel'


def test_loss_curve_with_live_statistics_differs(one, two, record_property):
    """Each rank normalises by its own half of the batch; reported, and bounded widely."""
    found = difference(one, two, 'live')
    record_property('relative difference with live batch norm', found)
    print(f'live batch norm: {found:.3g}, frozen: {difference(one, two, "frozen"):.3g}')
    assert 1e-3 < found < 1
    assert all(map(math.isfinite, mean_losses(two, 'live')))


def test_a_scaled_sum_follows_too_and_stock_halves_it(one, two):
    assert difference(one, two, 'simcc') < 1e-4
    first = [report['stock_sum']['terms'][0] for report in (one, *two)]
    simcc, rle = ([terms[name] for terms in first] for name in ('loss_simcc', 'loss_rle'))
    assert sum(simcc[1:]) / 2 == pytest.approx(simcc[0] / 2, rel=1e-5)
    assert sum(rle[1:]) / 2 == pytest.approx(rle[0], rel=1e-5)
    assert difference(one, two, 'stock_sum') > 1e-2
    # In one process the wrapper changes nothing at its batch size.
    assert one['simcc']['losses'] == one['stock_sum']['losses']


def test_flow_is_the_same_on_both_ranks(one, two):
    """Rank 1 has no label in its first batch: its flow gets zeros, and no rank waits forever."""
    for name in ('frozen', 'live', 'simcc'):
        first, second = (rank[name] for rank in two)
        assert first['flow'] == second['flow']
        # and it moves
        assert len(set(first['flow'])) == len(first['flow'])
    assert two[1]['frozen']['losses'][0] == 0
    assert two[0]['frozen']['losses'][0] > 0


def test_labels_out_of_range_on_the_other_rank_are_in_the_log(one, two):
    expected = [None, 1, 1, 2, 2, 3]
    for report in (one, two[0]):
        for name in ('frozen', 'simcc'):
            log = report[name]['log']
            assert [row.get('out_of_range_labels') for row in log] == expected


def test_buffers_are_equal_at_each_epochs_end(two):
    for first, second in zip(*(rank['live']['epochs'] for rank in two), strict=True):
        assert first['buffers_before'] != second['buffers_before'], 'there was nothing to average'
        assert first['buffers'] == second['buffers']
        assert first['parameters'] == second['parameters']


@pytest.mark.parametrize(('persons', 'round_up'), worker.EVALUATED)
def test_evaluation_to_the_last_digit(one, two, persons, round_up):
    key = f'{persons}, round_up={round_up}'
    expected = one['metrics'][key]
    # neither nothing nor everything is found
    assert persons == 1 or 0.02 < expected['coco/AP'] < 0.98
    for rank in two:
        assert rank['metrics'][key] == expected


def test_images_per_second_counts_both_ranks(one, two, folder):
    for report in (one, two[0]):
        rows = report['frozen']['log']
        assert len(rows) == ITERATIONS
        for row in rows:
            assert row['images/s'] == pytest.approx(worker.BATCH / row['time'])
    assert two[1]['frozen']['log'] is None
    # one rank writes the table
    with (folder / 'frozen_of2/train.csv').open(newline='') as stream:
        table = list(csv.DictReader(stream))
    logged = two[0]['frozen']['log']
    assert [float(row['images/s']) for row in table] == [row['images/s'] for row in logged]
