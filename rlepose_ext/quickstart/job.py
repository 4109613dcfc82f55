"""The five steps of ``rlepose quickstart``."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rlepose_ext.errors import UserError
from rlepose_ext.quickstart.summary import device, shorten, write_json
from rlepose_ext.quickstart.watch import watch
from rlepose_ext.resources import resource
from rlepose_ext.version import __version__

# A heatmap-like head finds the joints quickly and shapes the backbone; the RLE head
# then learns to read coordinates from it. Only the RLE head is tested.
WARM_UP = 'configs/quickstart/simcc_resnet18-slim_1xb16-2e_synthetic-96x72.py'
MAIN = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
# Below this something is broken: the mean training pose scores under 0.05.
LOWEST_AP = 0.3
STEPS = 5


@dataclass(frozen=True)
class Quickstart:
    """What can be chosen; the defaults fit five minutes on two cores.

    Attributes:
        out: folder for everything that is written.
        num_train: drawn training images.
        num_val: drawn held-out images.
        seed: seed of the drawings and of the training.
        num_pictures: held-out images that get a picture.
        epochs: epochs of the RLE stage, ``None`` for the config's.
        cfg_options: overrides for the RLE stage and the test, as MMPose's ``--cfg-options``.
        lowest_ap: the job fails below this held-out AP.
    """

    out: Path = Path('work_dirs/quickstart')
    num_train: int = 5000
    num_val: int = 300
    seed: int = 0
    num_pictures: int = 8
    epochs: int | None = None
    cfg_options: tuple[str, ...] = ()
    lowest_ap: float = LOWEST_AP


def run_quickstart(options: Quickstart) -> bool:
    """Draw a data set, train, test, predict, sum up.

    Returns:
        Whether the held-out AP is at least ``options.lowest_ap``.

    Raises:
        UserError: a step failed; what is finished stays on disk.
    """
    started = time.perf_counter()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    _forget_last_run(out)
    # One layout for all data: the configs look into $RLEPOSE_DATA/synthetic.
    data = out / 'data'
    _announce(1, f'drawing {options.num_train + options.num_val} images of people')
    paths = _draw_data(data / 'synthetic', options)
    mean_pose_ap = _mean_pose_ap(paths)

    _announce(2, 'training: rlepose train')
    training = time.perf_counter()
    checkpoint = _train(out, data, options)
    train_seconds = time.perf_counter() - training

    _announce(3, f'testing: rlepose test -C {shorten(checkpoint)}')
    metrics = _test(out, data, checkpoint, options)

    _announce(4, f'drawing skeletons on {options.num_pictures} held-out images')
    images = _draw_pictures(out, paths, checkpoint, options.num_pictures)

    _announce(5, 'summing up')
    summary = {
        'metrics': metrics,
        'mean_pose_ap': round(mean_pose_ap, 4),
        'train_seconds': round(train_seconds, 1),
        'total_seconds': round(time.perf_counter() - started, 1),
        'samples_per_second': round(_samples_per_second(out), 1),
        'checkpoint': str(checkpoint),
        'images': [str(image) for image in images],
        'num_train': options.num_train,
        'num_val': options.num_val,
        'seed': options.seed,
        'device': device(),
        'version': __version__,
    }
    target = out / 'summary.json'
    write_json(target, summary)
    ap = metrics['coco/AP']
    print(
        f'\n  AP on held-out drawings: {ap:.3f}  (the mean pose in each box: '
        f'{summary["mean_pose_ap"]:.3f})\n  pictures: {shorten(images[0])}\n'
        f'  summary:  {shorten(target)}\n  {summary["total_seconds"]:.0f} s in all',
        flush=True,
    )
    if ap < options.lowest_ap:
        print(f'  FAILED: the AP is below {options.lowest_ap}.', file=sys.stderr)
        return False
    return True


def _announce(step: int, text: str) -> None:
    print(f'[{step}/{STEPS}] {text}', flush=True)


def _forget_last_run(out: Path) -> None:
    """Remove what a failing run would leave behind as if it were its own result."""
    for name in ('summary.json', 'photograph.jpg', 'warm_up/last_checkpoint'):
        (out / name).unlink(missing_ok=True)
    (out / 'train/last_checkpoint').unlink(missing_ok=True)
    shutil.rmtree(out / 'pictures', ignore_errors=True)


def _cores() -> int:
    """Cores that this process may use: in a container fewer than the machine has."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _draw_data(folder: Path, options: Quickstart):
    from rlepose_ext.datasets.synthetic import write_dataset

    count = options.num_train + options.num_val
    marks = {count * tenth // 10 for tenth in range(1, 11)}

    def progress(done: int, total: int) -> None:
        if done in marks:
            print(f'      {done}/{total}', flush=True)

    paths = write_dataset(
        folder,
        options.num_train,
        options.num_val,
        options.seed,
        progress=progress,
        workers=_cores(),
    )
    if paths.reused:
        print('      already there', flush=True)
    return paths


def _rlepose(verb: str, config: Path, arguments: Iterable[str | Path]) -> list[str | Path]:
    return [sys.executable, '-m', 'rlepose_ext.cli.main', verb, config, *arguments]


def _train(out: Path, data: Path, options: Quickstart) -> Path:
    """Both stages; the last checkpoint of the second."""
    env = {'RLEPOSE_DATA': str(data)}
    seed = f'randomness.seed={options.seed}'
    warm_up, main = out / 'warm_up', out / 'train'
    command = ['--work-dir', warm_up, '--cfg-options', seed]
    watch(_rlepose('train', resource(WARM_UP), command), out / 'warm_up.log', env)
    # Through the environment: --cfg-options tears paths apart at blanks and commas.
    env['RLEPOSE_QUICKSTART_START'] = str(_last_checkpoint(warm_up))
    command = ['--work-dir', main, '--cfg-options', seed, *_length(options), *options.cfg_options]
    watch(_rlepose('train', resource(MAIN), command), out / 'train.log', env)
    return _last_checkpoint(main)


def _length(options: Quickstart) -> list[str]:
    """Overrides that change the number of epochs, and the schedule with it."""
    if options.epochs is None:
        return []
    keys = ('train_cfg.max_epochs', 'param_scheduler.1.end', 'param_scheduler.1.T_max')
    return [f'{key}={options.epochs}' for key in keys]


def _last_checkpoint(work_dir: Path) -> Path:
    """What MMEngine wrote last into ``work_dir``.

    Raises:
        UserError: it wrote none.
    """
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        raise UserError(
            f'training ended without a checkpoint in {work_dir}. Leave default_hooks.checkpoint on.'
        )
    return Path(pointer.read_text().strip())


def _test(out: Path, data: Path, checkpoint: Path, options: Quickstart) -> dict[str, float]:
    """MMEngine's metrics by name, such as ``coco/AP``."""
    result = out / 'test' / 'metrics.json'
    command = ['-C', checkpoint, '--work-dir', out / 'test', '--out', result]
    if options.cfg_options:
        command += ['--cfg-options', *options.cfg_options]
    watch(_rlepose('test', resource(MAIN), command), out / 'test.log', {'RLEPOSE_DATA': str(data)})
    return json.loads(result.read_text())


def _draw_pictures(out: Path, paths, checkpoint: Path, count: int) -> list[Path]:
    from rlepose_ext.inference.annotated import read_annotated
    from rlepose_ext.quickstart.pictures import draw_predictions

    images = read_annotated(paths.val_json, paths.val_images)[:count]
    return draw_predictions(resource(MAIN), checkpoint, images, out / 'pictures', device())[0]


def _mean_pose_ap(paths) -> float:
    from rlepose_ext.datasets.synthetic import mean_pose_baseline

    return mean_pose_baseline(paths.train_json, paths.val_json)


def _samples_per_second(out: Path) -> float:
    """Training samples a second in the RLE stage, data included, from MMEngine's own timer."""
    (scalars,) = sorted((out / 'train').glob('*/vis_data/scalars.json'))[-1:]
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    seconds = [row['time'] for row in rows if 'loss' in row]
    (config,) = sorted((out / 'train').glob('*/vis_data/config.py'))[-1:]
    from mmengine.config import Config

    batch = Config.fromfile(config).train_dataloader.batch_size
    return batch / (sum(seconds) / len(seconds))
