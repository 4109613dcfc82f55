"""Two processes, and two nodes, under a real Slurm: mim, our launcher, batch jobs."""

import argparse
import json
import shlex
import signal
import sys

import pytest

from rlepose_ext.cli import slurm
from rlepose_ext.datasets.synthetic import write_dataset

pytestmark = pytest.mark.slow

CONFIG = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
# Twelve people or more on two ranks: two iterations each.
SMALL = ['train_dataloader.batch_size=4', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
SMALL += ['default_hooks.logger.interval=1']
for split in ('train', 'val', 'test'):
    SMALL += [f'{split}_dataloader.num_workers=0', f'{split}_dataloader.persistent_workers=False']
ON_TWO = 'No GPU: 2 processes run on the CPU and communicate over gloo'
MIM_SLURM = shlex.split(
    '--launcher slurm --gpus 2 --cpus-per-task 1 --partition debug --srun-args "" --gpus-per-node'
)


@pytest.fixture(scope='module')
def env(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_dataset(folder / 'synthetic', 8, 3, seed=0)
    return {'RLEPOSE_DATA': str(folder), 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable}


@pytest.fixture(scope='module')
def trained(cluster, root, env, tmp_path_factory):
    """The work directory of `mim train` under Slurm, and what it printed."""
    work_dir = tmp_path_factory.mktemp('work dir')
    command = [sys.executable, '-m', 'mim', 'train', 'mmpose', CONFIG, '--work-dir', work_dir]
    done = cluster.run(*command, *MIM_SLURM, '1', '--cfg-options', *SMALL, cwd=root, **env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + cluster.logs()
    return work_dir, done.stdout


def test_mim_trains_on_two_nodes(trained):
    work_dir, output = trained
    assert output.count(ON_TWO) == 1
    assert (work_dir / 'epoch_1.pth').is_file()


def test_mim_tests_on_one_node(cluster, root, env, trained, tmp_path):
    work_dir, _ = trained
    command = [sys.executable, '-m', 'mim', 'test', 'mmpose', CONFIG]
    command += ['-C', work_dir / 'epoch_1.pth']
    command += ['--work-dir', tmp_path, '--out', tmp_path / 'metrics.json', *MIM_SLURM, '2']
    done = cluster.run(*command, '--cfg-options', *SMALL, cwd=root, **env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert ON_TWO in done.stdout
    assert 0 <= json.loads((tmp_path / 'metrics.json').read_text())['coco/AP'] <= 1


@pytest.mark.parametrize('nodes', [1, 2])
def test_job_script_trains(cluster, root, env, tmp_path, nodes):
    log = tmp_path / 'the job.out'
    # Not --wait, which looks every half a minute.
    command = ['tools/slurm/submit.sh', '--parsable', '--partition=debug', f'--nodes={nodes}']
    command += [f'--gres=gpu:{2 // nodes}', f'--ntasks-per-node={2 // nodes}']
    command += ['--cpus-per-task=1', f'--output={log}']
    command += ['tools/slurm/train.sbatch', CONFIG, '--work-dir', tmp_path / 'a b']
    done = cluster.run(*command, '--cfg-options', *SMALL, cwd=root, **env)
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[-1]
    cluster.wait_for(lambda: job not in cluster.jobs(), 'the job does not end', seconds=400)
    shown = cluster.run('scontrol', 'show', 'job', job).stdout
    assert 'JobState=COMPLETED' in shown, log.read_text()[-3000:]
    assert f'NumNodes={nodes} ' in shown
    assert log.read_text().count(ON_TWO) == 1
    assert (tmp_path / 'a b' / 'epoch_1.pth').is_file()


def test_our_launcher_trains_on_two_nodes(cluster, root, env, tmp_path):
    command = ['tools/slurm_train.sh', 'debug', 'two nodes', CONFIG, tmp_path / 'a b']
    options = {'GPUS': '2', 'GPUS_PER_NODE': '1', 'CPUS_PER_TASK': '1'}
    done = cluster.run(*command, '--cfg-options', *SMALL, cwd=root, **env, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + cluster.logs()
    assert done.stdout.count(ON_TWO) == 1
    assert (tmp_path / 'a b' / 'epoch_1.pth').is_file()


def test_gpus_that_torch_does_not_see_are_not_exchanged_for_the_cpu(cluster, root, env, tmp_path):
    command = ['env', '--unset=CUDA_VISIBLE_DEVICES', 'tools/slurm_train.sh', 'debug', 'name']
    done = cluster.run(*command, CONFIG, tmp_path, cwd=root, **env, GPUS='2', CPUS_PER_TASK='1')
    # That of the task which srun ends if the other one is the first to refuse.
    assert done.returncode in (2, 143)
    assert 'torch sees no GPU, but Slurm gave this job 2' in done.stderr
    assert list(tmp_path.glob('*.pth')) == []


# Begins as a training does, on played GPUs, and notes the node and the GPU of each rank.
RANK = """
import json, os, sys
import rlepose_ext, torch
from mmengine.dist import init_dist
from rlepose_ext.cli.slurm import set_port

seen, chosen = os.environ['SLURM_STEP_GPUS'].split(','), []
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: len(seen)
torch.cuda.set_device = lambda device: chosen.append(seen[device])
set_port(None)
init_dist('slurm', backend='gloo')
torch.distributed.barrier()  # else one may leave while the other one still connects
with open(f'{sys.argv[1]}/{os.environ["SLURM_PROCID"]}', 'w') as file:
    json.dump([os.environ['SLURMD_NODENAME'], *chosen], file)
torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize(
    ('options', 'nodes', 'gpus'),
    [
        ('--gres=gpu:2', 1, ['0', '1']),
        ('--gpus-per-task=1', 1, ['0', '1']),
        ('--gpus-per-task=1', 2, ['0', '0']),
        ('--gres=gpu:2 --gpu-bind=map_gpu:1,0', 1, ['1', '0']),
    ],
)
def test_each_task_has_a_gpu_of_its_own(cluster, root, env, tmp_path, options, nodes, gpus):
    script = tmp_path / 'rank.py'
    script.write_text(RANK)
    command = ['srun', '--ntasks=2', f'--nodes={nodes}', '--kill-on-bad-exit=1', *options.split()]
    # The job may have asked for more tasks than this step has.
    job = {'SLURM_NTASKS_PER_NODE': '8'}
    done = cluster.run(*command, sys.executable, script, tmp_path, cwd=root, **env, **job)
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / rank).read_text()) for rank in '01']
    assert [gpu for _, gpu in found] == gpus
    assert len({node for node, _ in found}) == nodes


def test_srun_takes_our_options(cluster, root, env, monkeypatch, tmp_path):
    """What reaches the tasks: numbers, blanks, and the last of two --gres."""
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    script = tmp_path / 'task.py'
    script.write_text(
        'import json, os, sys\n'
        'keys = ("SLURM_NTASKS", "SLURM_GPUS_ON_NODE", "SLURM_JOB_NAME")\n'
        f'out = {str(tmp_path)!r} + "/" + os.environ["SLURM_PROCID"]\n'
        'values = [*sys.argv[1:], *(os.environ[key] for key in keys)]\n'
        'json.dump(values, open(out, "w"))\n'
    )
    args = argparse.Namespace(
        gpus=2, gpus_per_node=2, cpus_per_task=1, partition='debug', job_name='my job',
        srun_args='--comment="a b" --gres=gpu:fake:1', script='train',
    )  # fmt: skip
    line = slurm.srun_command(args, CONFIG, [sys.executable, str(script), 'a b', 'c="d e"'])
    done = cluster.run(*line, cwd=root)
    assert done.returncode == 0, done.stderr
    for rank in ('0', '1'):
        values = json.loads((tmp_path / rank).read_text())
        assert values == ['a b', 'c="d e"', '2', '1', 'my job']


# Plays the trainer: saves and leaves when told to the first time, ends well the second time.
TRAINER = """#!{python}
import os, signal, sys, time
if sys.argv[1] == '-c':
    sys.exit()
here = os.path.dirname(os.path.abspath(__file__))
def save(number, frame):
    with open(here + '/saved', 'w') as file:
        file.write(str(number))
    sys.exit(128 + number)
if os.path.exists(here + '/saved'):
    print('resumed:', *sys.argv[4:])
    sys.exit()
signal.signal(signal.SIGUSR1, save)
signal.signal(signal.SIGTERM, save)
open(here + '/started', 'w').close()
time.sleep(60)
"""


@pytest.fixture
def trainer(tmp_path):
    path = tmp_path / 'python'
    path.write_text(TRAINER.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


def submit(cluster, root, folder, *words, **env):
    """Submit a job that runs the trainer of ``folder``, and wait until that has started."""
    command = ['sbatch', '--parsable', '--partition=debug', f'--output={folder}/job.out']
    done = cluster.run(*command, '--cpus-per-task=4', *words, cwd=root, **env)
    assert done.returncode == 0, done.stderr
    cluster.wait_for(lambda: (folder / 'started').exists(), 'the job does not start')
    return done.stdout.strip()


def goes_on(cluster, folder, job):
    """Wait until the job is complete; returns what it has written."""
    log = folder / 'job.out'
    cluster.wait_for(lambda: log.exists() and 'resumed' in log.read_text(), 'it does not go on')
    cluster.wait_for(lambda: cluster.jobs() == [], 'the job does not end')
    assert 'JobState=COMPLETED' in cluster.run('scontrol', 'show', 'job', job).stdout
    assert f'job {job} goes back into the queue' in log.read_text()
    return log.read_text()


def time_is_up(cluster, job):
    """What Slurm does 180 seconds before the limit, because of --signal=B:USR1@180."""
    cluster.run('scancel', '--batch', '--signal=USR1', job)


@pytest.mark.parametrize('told', ['SIGUSR1', 'SIGTERM'], ids=['out of time', 'preempted'])
def test_a_job_that_is_told_to_stop_is_queued_again_and_goes_on(
    cluster, root, tmp_path, trainer, told
):
    script = ['tools/slurm/train.sbatch', CONFIG, '--amp']
    job = submit(cluster, root, tmp_path, *script, PYTHON=trainer)
    if told == 'SIGUSR1':
        time_is_up(cluster, job)
    else:
        # It leaves within its GraceTime: Slurm itself would requeue it only at the end of that.
        urgent = ['--partition=urgent', '--nodes=2', f'--output={tmp_path}/urgent.out']
        urgent += ['--ntasks-per-node=1', '--cpus-per-task=4']
        cluster.run('sbatch', *urgent, '--wrap=true', cwd=tmp_path)
    log = goes_on(cluster, tmp_path, job)
    assert (tmp_path / 'saved').read_text() == str(int(signal.Signals[told]))
    assert f'resumed: train {CONFIG} --resume --launcher slurm --amp' in log


def test_the_job_for_dug_is_queued_again_and_goes_on(cluster, root, tmp_path, trainer):
    """On a node whose login shell finds an nvidia-smi that plays one GPU."""
    smi = tmp_path / 'nvidia-smi'
    smi.write_text('#!/bin/sh\necho "GPU 0: A100"\n')
    smi.chmod(0o755)
    (tmp_path / '.bash_profile').write_text(f"export PATH='{tmp_path}':$PATH\n")
    words = ['--gres=gpu:1', '--mem=100M', 'tools/dug/train.sbatch']
    env = {'CONFIG': CONFIG, 'OPTIONS': '--amp', 'HOME': str(tmp_path), 'PYTHON': trainer}
    job = submit(cluster, root, tmp_path, *words, **env)
    time_is_up(cluster, job)
    log = goes_on(cluster, tmp_path, job)
    assert (tmp_path / 'saved').read_text() == str(int(signal.SIGTERM))
    assert f'resumed: train {CONFIG} --resume --launcher none --gpus 1 --amp' in log


def test_a_job_that_may_not_be_queued_again_ends_and_says_so(cluster, root, tmp_path, trainer):
    script = ['--no-requeue', 'tools/slurm/train.sbatch', CONFIG]
    job = submit(cluster, root, tmp_path, *script, PYTHON=trainer)
    time_is_up(cluster, job)
    cluster.wait_for(lambda: cluster.jobs() == [], 'the job does not end')
    # The training's status and not that of scontrol.
    assert 'ExitCode=138:0' in cluster.run('scontrol', 'show', 'job', job).stdout
    assert 'Submit it again' in (tmp_path / 'job.out').read_text()


def predict(cluster, root, env, folder, *words):
    """Submit the job array for the pictures in ``folder``, wait, return the tasks' logs."""
    command = ['sbatch', '--parsable', '--partition=debug', f'--output={folder}/%a.log']
    command += ['--cpus-per-task=1', *words, 'tools/slurm/predict.sbatch', folder / 'in']
    command += ['--output-root', folder / 'out', '--det', 'full', '--device', 'cpu']
    command += ['--pose', root / CONFIG, folder / 'random.pth']
    done = cluster.run(*command, cwd=root, **env)
    assert done.returncode == 0, done.stderr
    cluster.wait_for(lambda: cluster.jobs() == [], 'the array does not end', seconds=400)
    return {path.stem: path.read_text() for path in folder.glob('*.log')}


def test_a_job_array_shares_a_folder(cluster, root, env, tmp_path):
    """Two tasks; submitted again, they leave out what is done."""
    import cv2
    import numpy as np
    import torch
    from mmengine.config import Config
    from mmpose.apis import init_model

    torch.manual_seed(0)
    model = init_model(Config.fromfile(root / CONFIG), device='cpu')
    meta = {'dataset_meta': model.dataset_meta}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, tmp_path / 'random.pth')
    (tmp_path / 'in').mkdir()
    for number in range(5):
        cv2.imwrite(str(tmp_path / f'in/{number:03}.png'), np.full((60, 80, 3), 40, np.uint8))
    logs = predict(cluster, root, env, tmp_path, '--array=1-2')
    assert [logs[task].count(': 1 pose in ') for task in '12'] == [3, 2], logs
    records = [tmp_path / f'out/finished-{task}-of-2.jsonl' for task in '12']
    assert all(record.is_file() for record in records)
    (tmp_path / 'out/003.png').unlink()
    logs = predict(cluster, root, env, tmp_path, '--array=1-2', '--open-mode=truncate')
    assert '3 of 3 inputs are done' in logs['1']
    assert '1 of 2 inputs are done' in logs['2']
    assert logs['2'].count(': 1 pose in ') == 1
    merge = [sys.executable, '-m', 'rlepose_ext.cli.main', 'merge', tmp_path / 'out']
    done = cluster.run(*merge, cwd=root, **env)
    assert done.returncode == 0, done.stderr
    entries = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert [entry['image_id'] for entry in entries] == [0, 1, 2, 3, 4]


def test_an_array_that_is_not_whole(cluster, root, env, tmp_path):
    (tmp_path / 'in').mkdir()
    (log,) = predict(cluster, root, env, tmp_path, '--array=2').values()
    assert 'expected --array=1-N, got task numbers from 2 to 2 for 1 tasks' in log
    assert not (tmp_path / 'out').exists()
