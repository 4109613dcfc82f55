"""Two processes under a real Slurm: mim, our launcher, and batch jobs, on drawn people."""

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
SMALL = [
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'default_hooks.logger.interval=1',
]
ON_TWO = 'No GPU: 2 processes run on the CPU and communicate over gloo'
MIM_SLURM = shlex.split(
    '--launcher slurm --gpus 2 --gpus-per-node 2 --cpus-per-task 1 --partition debug --srun-args ""'
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
    done = cluster.run(*command, *MIM_SLURM, '--cfg-options', *SMALL, cwd=root, **env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + cluster.logs()
    return work_dir, done.stdout


def test_mim_trains_with_two_processes(trained):
    work_dir, output = trained
    assert output.count(ON_TWO) == 1
    assert (work_dir / 'epoch_1.pth').is_file()


def test_mim_tests_with_two_processes(cluster, root, env, trained, tmp_path):
    work_dir, _ = trained
    command = [
        sys.executable,
        '-m',
        'mim',
        'test',
        'mmpose',
        CONFIG,
        '-C',
        work_dir / 'epoch_1.pth',
    ]
    command += ['--work-dir', tmp_path, '--out', tmp_path / 'metrics.json', *MIM_SLURM]
    done = cluster.run(*command, '--cfg-options', *SMALL, cwd=root, **env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert ON_TWO in done.stdout
    assert 0 <= json.loads((tmp_path / 'metrics.json').read_text())['coco/AP'] <= 1


def test_job_script_trains(cluster, root, env, tmp_path):
    log = tmp_path / 'the job.out'
    # Not --wait, which looks every half a minute.
    command = ['tools/slurm/submit.sh', '--parsable', '--partition=debug', '--gres=gpu:2']
    command += ['--ntasks-per-node=2', '--cpus-per-task=1', f'--output={log}']
    command += ['tools/slurm/train.sbatch', CONFIG, '--work-dir', tmp_path / 'a b']
    done = cluster.run(*command, '--cfg-options', *SMALL, cwd=root, **env)
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[-1]
    cluster.wait_for(lambda: job not in cluster.jobs(), 'the job does not end', seconds=400)
    assert 'JobState=COMPLETED' in cluster.run('scontrol', 'show', 'job', job).stdout, (
        log.read_text()[-3000:]
    )
    assert log.read_text().count(ON_TWO) == 1
    assert (tmp_path / 'a b' / 'epoch_1.pth').is_file()


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


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere', 'name', CONFIG, 'work'], 'which has: debug'),
        (['debug', 'name', 'configs/nowhere.py', 'work'], 'does not exist'),
    ],
)
def test_nothing_wrong_is_queued(cluster, root, env, arguments, message):
    done = cluster.run('tools/slurm_train.sh', *arguments, cwd=root, **env)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count('\n') == 1
    assert cluster.jobs() == []


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


@pytest.mark.parametrize('told', ['SIGUSR1', 'SIGTERM'], ids=['out of time', 'preempted'])
def test_a_job_that_is_told_to_stop_is_queued_again_and_goes_on(cluster, root, tmp_path, told):
    trainer = tmp_path / 'python'
    trainer.write_text(TRAINER.format(python=sys.executable))
    trainer.chmod(0o755)
    log = tmp_path / 'job.out'
    submit = ['sbatch', '--parsable', '--partition=debug', f'--output={log}', '--cpus-per-task=4']
    done = cluster.run(
        *submit, 'tools/slurm/train.sbatch', CONFIG, '--amp', cwd=root, PYTHON=str(trainer)
    )
    job = done.stdout.strip()
    cluster.wait_for(lambda: (tmp_path / 'started').exists(), 'the job does not start')
    if told == 'SIGUSR1':
        # What Slurm does 180 seconds before the limit, because of --signal=B:USR1@180.
        cluster.run('scancel', '--batch', '--signal=USR1', job)
    else:
        # It leaves within its GraceTime: Slurm itself would requeue it only at the end of that.
        urgent = ['--partition=urgent', '--cpus-per-task=4', f'--output={tmp_path}/urgent.out']
        cluster.run('sbatch', *urgent, '--wrap=true', cwd=tmp_path)
    cluster.wait_for(lambda: log.exists() and 'resumed' in log.read_text(), 'it does not go on')
    assert (tmp_path / 'saved').read_text() == str(int(signal.Signals[told]))
    assert f'job {job} goes back into the queue' in log.read_text()
    resumed = f'resumed: train {CONFIG} --resume --launcher slurm --amp'
    assert resumed in log.read_text()
    cluster.wait_for(lambda: cluster.jobs() == [], 'the job does not end')
    assert 'JobState=COMPLETED' in cluster.run('scontrol', 'show', 'job', job).stdout
