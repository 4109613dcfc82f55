"""``rlepose lip``: the LIP baseline with the options of its author's script.

Training and validation are those of ``rlepose train`` and ``rlepose test``. What was different
there and cannot be kept: an epoch ends with a checkpoint that has the optimizer's state as well,
and ``--epoch-offset`` goes on from it; validation gives PCKh instead of a mean error; pictures
go to a folder instead of a window.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rlepose_ext.cli import launch
from rlepose_ext.errors import UserError
from rlepose_ext.resources import resource

CONFIGS = {
    'faithful': 'configs/lip/heatmap-sigmoid_res18_1xb32-20e_lip-256x256.py',
    'modern': 'configs/lip/heatmap_res18_1xb64-210e_lip-256x256.py',
}


def add_parser(subparsers) -> None:
    """Register ``rlepose lip``."""
    parser = subparsers.add_parser(
        'lip',
        help='the LIP single-person baseline: train, validate, visualise',
        description='Train (the default), validate and visualise, in this order if several are '
        "asked for. `rlepose convert lip` makes the annotations from LIP's csv.",
    )
    parser.add_argument('-t', '--train', action='store_true', help='train the model')
    parser.add_argument('-v', '--validate', action='store_true', help='PCKh on the validation set')
    parser.add_argument(
        '-vis', '--visualise', '--visualize', action='store_true', help='draw predictions'
    )
    training = parser.add_argument_group('training')
    training.add_argument(
        '-e', '--epoch-count', type=int, metavar='N', help="epochs to train (default: the config's)"
    )
    training.add_argument(
        '-eo',
        '--epoch-offset',
        type=int,
        default=0,
        metavar='N',
        help='epochs trained before: go on from --weights-path, or from epoch_N.pth in --work-dir',
    )
    drawing = parser.add_argument_group('visualising')
    drawing.add_argument('-gt', '--show-gt', action='store_true', help='draw the labels as well')
    drawing.add_argument(
        '-ct',
        '--conf-threshold',
        type=float,
        default=0.0,
        metavar='X',
        help='leave out joints with a lower score (default: 0)',
    )
    drawing.add_argument('-skel', '--draw-skeleton', action='store_true', help='connect the joints')
    drawing.add_argument(
        '--images',
        nargs='+',
        metavar='FILE',
        help='images of one person each (default: the first of the validation set)',
    )
    drawing.add_argument(
        '--count', type=int, default=16, metavar='N', help='images of the validation set'
    )
    drawing.add_argument('--out', help='folder for pictures (default: visualise in --work-dir)')
    parser.add_argument(
        '--weights-path',
        '--weights_path',
        metavar='FILE',
        help='checkpoint to start from, or to use (default: the newest in --work-dir)',
    )
    parser.add_argument(
        '--config',
        dest='recipe',
        default='faithful',
        metavar='CONFIG',
        help=f'{", ".join(CONFIGS)} or the path of a config (default: faithful)',
    )
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='override config keys: key=value ...'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for.

    Raises:
        UserError: options that contradict each other, or files that are not there.
    """
    check_arguments(args)
    config = config_path(args.recipe)
    work_dir = Path(args.work_dir or Path('work_dirs') / Path(config).stem)
    train = args.train or not (args.validate or args.visualise)
    status = 0
    if train:
        status = rlepose(train_arguments(args, config, work_dir))
    # What was trained just now, unless there is no training.
    if status == 0 and (args.validate or args.visualise):
        checkpoint = find_checkpoint(None if train else args.weights_path, work_dir)
        if args.validate:
            status = rlepose(test_arguments(args, config, work_dir, checkpoint))
        if status == 0 and args.visualise:
            visualise(args, config, work_dir, checkpoint)
    return status


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse values that would silently do something else.

    Raises:
        UserError: there is one.
    """
    if args.epoch_count is not None and args.epoch_count < 1:
        raise UserError(f'--epoch-count {args.epoch_count}: expected 1 or more epochs')
    if args.epoch_offset < 0:
        raise UserError(f'--epoch-offset {args.epoch_offset}: expected 0 or more epochs')
    if args.count < 1:
        raise UserError(f'--count {args.count}: expected 1 or more images')
    only_train = (args.validate or args.visualise) and not args.train
    if only_train and (args.epoch_count is not None or args.epoch_offset):
        raise UserError('--epoch-count and --epoch-offset are for training: add --train')
    if args.show_gt and args.images:
        raise UserError('--show-gt needs labels, which --images have not: leave one of them out')


def config_path(name: str) -> str:
    """The path of a config, given by its short name or by a path.

    Raises:
        UserError: neither.
    """
    return str(resource(CONFIGS[name])) if name in CONFIGS else launch.check_config(name)


def train_arguments(args: argparse.Namespace, config: str, work_dir: Path) -> list[str]:
    """The arguments of ``rlepose train``.

    Raises:
        UserError: the checkpoint to start from is missing, or of another epoch.
    """
    options, line = list(args.cfg_options), ['train', config, '--work-dir', str(work_dir)]
    if args.epoch_offset:
        first = args.weights_path or str(work_dir / f'epoch_{args.epoch_offset}.pth')
        check_epoch(launch.check_checkpoint(first), args.epoch_offset)
        line += ['--resume', first]
    elif args.weights_path:
        options.append(f'load_from={launch.check_checkpoint(args.weights_path)}')
    if args.epoch_count is not None:
        options.append(f'train_cfg.max_epochs={args.epoch_offset + args.epoch_count}')
    elif args.epoch_offset:
        options.append(f'train_cfg.max_epochs={args.epoch_offset + planned_epochs(args, config)}')
    return [*line, *(['--cfg-options', *options] if options else [])]


def planned_epochs(args: argparse.Namespace, config: str) -> int:
    """How many epochs the config trains."""
    return load_config(args, config).train_cfg.max_epochs


def test_arguments(
    args: argparse.Namespace, config: str, work_dir: Path, checkpoint: str
) -> list[str]:
    """The arguments of ``rlepose test``."""
    line = ['test', config, '-C', checkpoint, '--work-dir', str(work_dir)]
    return [*line, *(['--cfg-options', *args.cfg_options] if args.cfg_options else [])]


def find_checkpoint(path: str | None, work_dir: Path) -> str:
    """The checkpoint named, or the newest whole one of a work directory.

    Raises:
        UserError: there is none.
    """
    if path:
        return launch.check_checkpoint(path)
    from rlepose_ext.checkpoints.files import latest_whole

    newest = latest_whole(work_dir, warn=lambda text: print(f'rlepose: {text}', file=sys.stderr))
    if newest is None:
        raise UserError(
            f'no checkpoint in {work_dir}. Give one with --weights-path, or train first: '
            'rlepose lip --train'
        )
    return str(newest)


def check_epoch(path: str, epoch: int) -> None:
    """Refuse to go on from a checkpoint of another epoch, or of weights alone.

    Raises:
        UserError: it is one.
    """
    from mmengine.runner import CheckpointLoader

    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    if 'optimizer' not in checkpoint:
        raise UserError(
            f'{path} has weights but no state of the optimizer, so training cannot go on from it. '
            'Leave --epoch-offset out to start from these weights.'
        )
    written = checkpoint.get('meta', {}).get('epoch')
    if written != epoch:
        raise UserError(
            f'--epoch-offset {epoch}, but {path} was written after epoch {written}. Give '
            f'--epoch-offset {written}, or the checkpoint of epoch {epoch}.'
        )


def load_config(args: argparse.Namespace, config: str):
    """The config as MMPose's scripts would see it."""
    from mmengine.config import Config, DictAction

    loaded = Config.fromfile(config)
    if args.cfg_options:
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        options = parser.parse_args(['--cfg-options', *args.cfg_options]).cfg_options
        loaded.merge_from_dict(options)
    return loaded


def visualise(args: argparse.Namespace, config: str, work_dir: Path, checkpoint: str) -> None:
    """Draw predictions, and print where."""
    import torch
    from mmpose.apis import init_model

    from rlepose_ext.inference import lip_pictures

    loaded = load_config(args, config)
    if args.images:
        images = lip_pictures.plain_images(args.images)
    else:
        images = lip_pictures.validation_images(loaded, args.count)
    model = init_model(loaded, checkpoint, 'cuda' if torch.cuda.is_available() else 'cpu')
    out = Path(args.out) if args.out else work_dir / 'visualise'
    pictures = lip_pictures.write_pictures(
        model, images, out, args.conf_threshold, args.show_gt, args.draw_skeleton
    )
    print(f'{out}: {len(pictures)} pictures')


def rlepose(arguments: list[str]) -> int:
    """``rlepose train`` or ``rlepose test`` in this process."""
    parser = argparse.ArgumentParser(prog='rlepose')
    launch.add_parser(parser.add_subparsers())
    args = parser.parse_args(arguments)
    return args.run(args)
