"""``rlepose convert``: checkpoints and annotations of others into what MMPose takes."""

from __future__ import annotations

import argparse
import importlib

from rlepose_ext.errors import UserError
from rlepose_ext.version import __version__

# Whose checkpoints are converted, and what to do with one that does not load.
AUTHORS = {
    'tokenpose': ('leeyegy/TokenPose: T, S, B, L', ''),
    'poseur': ('aim-uofa/Poseur, for non-commercial use only', ''),
    'yolopose': (
        'TexasInstruments/edgeai-yolov5, YOLOv5-s6 for poses',
        "The project's own .pt files hold whole models, that is, code, which is not run here. "
        'Where its code is installed, write the weights alone: python -c "import torch; '
        "m = torch.load('last.pt', map_location='cpu', weights_only=False)['model']; "
        "torch.save(m.float().state_dict(), 'last_weights.pth')\", and convert last_weights.pth.",
    ),
    'adaptivepose': ('buptxyb666/AdaptivePose on HRNet', ''),
    'posefix': ('Pytorch-PoseFix, a port of mks0601/PoseFix_RELEASE', ''),
}
# Whose labels are converted: what, and the source and target with their help.
DATA_SETS = {
    'aic': (
        "AI Challenger's original json to COCO keypoint json",
        ('RAW', 'keypoint_train_annotations_20170909.json'),
        ('OUT', "json to write, for MMPose's AicDataset"),
    ),
    'wflw': (
        "WFLW's lists to MMPose's json, subsets included",
        ('LIST', 'list_98pt_rect_attr_{train,test}.txt'),
        (
            'OUT_DIR',
            'folder for the json of the training, or for those of the test and its subsets',
        ),
    ),
    'lsp': (
        'the archive of Leeds Sports Pose, or LSP extended, to COCO keypoint json',
        ('MAT', "the archive's joints.mat"),
        ('OUT_DIR', 'folder for lsp_train.json and lsp_val.json'),
    ),
    'faces68': (
        "Udacity's csv of 68 landmarks on frames of YouTube Faces to COCO keypoint json",
        ('CSV', '{training,test}_frames_keypoints.csv'),
        ('OUT', 'json to write'),
    ),
}


def add_parser(subparsers) -> None:
    """Register ``rlepose convert KIND IN OUT``."""
    parser = subparsers.add_parser(
        'convert', help='convert checkpoints of other projects and labels of data sets'
    )
    kinds = parser.add_subparsers(metavar='KIND', required=True)
    _add_clean(kinds)
    _add_movenet(kinds)
    for name, (authors, _) in AUTHORS.items():
        _add_authors(kinds, name, authors)
    _add_lip(kinds)
    _add_gray(kinds)
    for name, texts in DATA_SETS.items():
        _add_data_set(kinds, name, *texts)


def _add_clean(kinds) -> None:
    clean = kinds.add_parser(
        'mmpose-clean',
        help='MobileNetV2 models (RLE, SimCC) and backbones of MMPose_Clean',
        description='Write a checkpoint for `mim test -C`, or a backbone to start from.',
    )
    clean.add_argument('input', metavar='IN', help="MMPose_Clean's .pth file")
    clean.add_argument('output', metavar='OUT', help='file to write')
    which = clean.add_mutually_exclusive_group()
    which.add_argument(
        '--split', action='store_true', help='keep fc_coord and fc_sigma apart: RLEHead(split=True)'
    )
    which.add_argument(
        '--backbone',
        action='store_true',
        help="the backbone only, for init_cfg=dict(type='Pretrained', prefix='backbone.')",
    )
    clean.add_argument(
        '--ranges',
        metavar='FILE',
        help='its *_quant_info.pth: write an 8-bit model for rlepose_ext.QuantPoseEstimator',
    )
    clean.add_argument('--force', action='store_true', help='overwrite OUT')
    clean.set_defaults(run=run_clean)


def run_clean(args: argparse.Namespace) -> int:
    """Convert one MMPose_Clean checkpoint.

    Raises:
        UserError: IN is missing or not MMPose_Clean's, or OUT exists.
    """
    from rlepose_ext.convert import files, mmpose_clean

    output = files.check_target(args.output, args.force)
    state = files.read_state_dict(args.input)
    ranges = {} if args.ranges is None else _read_ranges(args.ranges)
    if args.backbone and ranges:
        raise UserError('--ranges are those of a whole model: leave --backbone out')
    try:
        if args.backbone:
            converted = mmpose_clean.convert_backbone(state)
        else:
            converted = mmpose_clean.convert_model(state, split=args.split)
    except UserError as error:
        raise UserError(f'{args.input}: {error}') from error
    simcc = 'head.mlp_head_x.weight' in converted
    kind = 'backbone' if args.backbone else 'split head' if args.split else 'joint head'
    kind = 'SimCC head' if simcc else kind
    kind += ' in 8 bit' if ranges else ''
    meta = {'source': 'MMPose_Clean', 'kind': kind, 'rlepose_ext_version': __version__}
    files.write_checkpoint(output, {**converted, **ranges}, meta)
    print(f'{output}: {len(converted) + len(ranges)} tensors ({kind})')
    return 0


def _read_ranges(path: str) -> dict:
    from rlepose_ext.checkpoints.safe_load import load_file
    from rlepose_ext.convert.mmpose_clean_int8 import convert_ranges

    try:
        return convert_ranges(load_file(path, map_location='cpu'))
    except UserError as error:
        raise UserError(f'{path}: {error}') from error


def _add_lip(kinds) -> None:
    kind = kinds.add_parser(
        'lip',
        help="LIP's csv of poses to COCO keypoint json",
        description='Write the annotations that configs/lip reads. With CSV alone nothing is '
        'written: the file is checked and counted.',
    )
    kind.add_argument('input', metavar='CSV', help='49 columns, no header')
    kind.add_argument('images', metavar='IMAGES', nargs='?', help='folder of its images')
    kind.add_argument('output', metavar='OUT', nargs='?', help='json to write')
    kind.add_argument(
        '--skip-bad', action='store_true', help='leave out bad lines and lines without an image'
    )
    kind.add_argument('--force', action='store_true', help='overwrite OUT')
    kind.set_defaults(run=run_lip)


def run_lip(args: argparse.Namespace) -> int:
    """Convert, or count, LIP's csv.

    Raises:
        UserError: bad lines, missing images, or OUT exists.
    """
    from rlepose_ext.annotations import lip_csv
    from rlepose_ext.convert.files import check_target

    remedy = 'Correct them, or add --skip-bad to leave these lines out.'
    if args.images is None:
        rows, problems = lip_csv.read_csv(args.input)
        for problem in problems if args.skip_bad else ():
            print(f'left out, {problem}')
        lip_csv.refuse(args.input, [] if args.skip_bad else problems, remedy)
        print(f'{args.input}: {lip_csv.statistics(rows)}')
        return 0
    if args.output is None:
        raise UserError('expected CSV IMAGES OUT, or CSV alone to count; OUT is missing')
    output = check_target(args.output, args.force)
    counted, left_out, outside = lip_csv.convert(args.input, args.images, output, args.skip_bad)
    for problem in left_out:
        print(f'left out, {problem}')
    for problem in outside:
        print(f'kept, {problem}')
    print(f'{output}: {counted}')
    if left_out or outside:
        print(f'{len(left_out)} lines left out; {len(outside)} joints outside of their image, kept')
    return 0


def _add_gray(kinds) -> None:
    gray = kinds.add_parser(
        'gray',
        help='an RGB model or backbone for images of one grey channel',
        description='Write a checkpoint whose first convolution has one input channel and which '
        'computes from a grey image what the RGB model computes from it.',
    )
    gray.add_argument('input', metavar='IN', help='.pth file of the RGB model, any prefix')
    gray.add_argument('output', metavar='OUT', help='file to write')
    rgb = {'nargs': 3, 'type': float, 'metavar': ('R', 'G', 'B')}
    gray.add_argument('--mean', **rgb, help="of the RGB model's config; default: ImageNet's")
    gray.add_argument('--std', **rgb, help='likewise')
    gray.add_argument(
        '--gray-mean', type=float, metavar='M', help="of the grey model's config; default: luma"
    )
    gray.add_argument('--gray-std', type=float, metavar='S', help='likewise')
    gray.add_argument('--force', action='store_true', help='overwrite OUT')
    gray.set_defaults(run=run_gray)


def run_gray(args: argparse.Namespace) -> int:
    """Convert one RGB checkpoint to one grey channel.

    Raises:
        UserError: IN is missing or has no convolution for three channels, or OUT exists.
    """
    from rlepose_ext.convert import files, gray

    output = files.check_target(args.output, args.force)
    state = files.read_state_dict(args.input)
    mean = tuple(args.mean or gray.IMAGENET_MEAN)
    std = tuple(args.std or gray.IMAGENET_STD)
    gray_mean = gray.luma_of(mean) if args.gray_mean is None else args.gray_mean
    gray_std = gray.luma_of(std) if args.gray_std is None else args.gray_std
    try:
        converted = gray.convert(state, mean, std, gray_mean, gray_std)
        layer = gray.find_first_conv(state).removesuffix('.weight')
    except UserError as error:
        raise UserError(f'{args.input}: {error}') from error
    meta = {'source': 'RGB', 'kind': 'gray', 'rlepose_ext_version': __version__}
    meta |= {'gray_mean': gray_mean, 'gray_std': gray_std}
    files.write_checkpoint(output, converted, meta)
    print(
        f'{output}: {len(converted)} tensors, {layer} for one channel. Its config needs '
        f'mean=[{gray_mean}], std=[{gray_std}], bgr_to_rgb=False, in_channels=1.'
    )
    return 0


def _add_data_set(
    kinds, name: str, what: str, source: tuple[str, str], target: tuple[str, str]
) -> None:
    kind = kinds.add_parser(name, help=what, description=f'Convert {what}.')
    kind.add_argument('input', metavar=source[0], help=source[1])
    kind.add_argument('images', metavar='IMAGES', help='folder of the images')
    kind.add_argument('output', metavar=target[0], help=target[1])
    kind.add_argument('--skip-bad', action='store_true', help='leave out bad entries')
    kind.add_argument('--force', action='store_true', help='overwrite what is there')
    kind.set_defaults(run=run_data_set, name=name)


def run_data_set(args: argparse.Namespace) -> int:
    """Convert labels by the module of :mod:`.annotations` of that name.

    Raises:
        UserError: another file, bad entries, missing images, or a file exists.
    """
    from rlepose_ext.convert.files import check_target

    module = importlib.import_module(f'rlepose_ext.annotations.{args.name}')
    outputs = getattr(module, 'outputs', lambda source, target: {'': target})
    for file in outputs(args.input, args.output).values():
        check_target(file, args.force)
    converted = module.convert(args.input, args.images, args.output, args.skip_bad)
    for problem in converted.left_out:
        print(f'left out, {problem}')
    for file, (images, number) in converted.files.items():
        print(f'{file}: {number:,} annotations of {images:,} images')
    return 0


def _add_movenet(kinds) -> None:
    kind = kinds.add_parser(
        'movenet',
        help="Google's MoveNet (Lightning, Thunder, MultiPose) from TensorFlow.js's json and bin",
        description='Write a checkpoint for configs/movenet, to test or to start from. '
        '`rlepose weights movenet-lightning` downloads and converts in one step.',
    )
    kind.add_argument('input', metavar='FOLDER', help='has movenet-*.json and .bin; or that json')
    kind.add_argument('output', metavar='OUT', help='file to write')
    kind.add_argument('--force', action='store_true', help='overwrite OUT')
    kind.set_defaults(run=run_movenet)


def run_movenet(args: argparse.Namespace) -> int:
    """Convert one MoveNet.

    Raises:
        UserError: FOLDER has no model, its files are damaged or of another model, or OUT exists.
    """
    from rlepose_ext.convert import files, movenet

    output = files.check_target(args.output, args.force)
    path = movenet.find_model(args.input)
    try:
        arch, state = movenet.convert(movenet.read_tensors(path))
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    meta = {'source': 'Google MoveNet', 'kind': arch, 'rlepose_ext_version': __version__}
    files.write_checkpoint(output, state, {**meta, 'licence': movenet.LICENCE})
    print(f'{output}: {len(state)} tensors (MoveNet {arch})')
    print(movenet.LICENCE)
    return 0


def _add_authors(kinds, name: str, authors: str) -> None:
    kind = kinds.add_parser(
        name,
        help=f'a checkpoint of {authors}',
        description=f'Write a checkpoint for configs/{name}, to test or to start from.',
    )
    kind.add_argument('input', metavar='IN', help=f'.pth file of {authors}')
    kind.add_argument('output', metavar='OUT', help='file to write')
    kind.add_argument('--force', action='store_true', help='overwrite OUT')
    kind.set_defaults(run=run_authors, name=name)


def run_authors(args: argparse.Namespace) -> int:
    """Convert a checkpoint of a system's authors by the module of :mod:`.convert` of that name.

    Raises:
        UserError: IN is missing, holds code or is another model, or OUT exists.
    """
    from rlepose_ext.checkpoints.safe_load import MissingCheckpointError
    from rlepose_ext.convert import files

    module = importlib.import_module(f'rlepose_ext.convert.{args.name}')
    authors, hint = AUTHORS[args.name]
    output = files.check_target(args.output, args.force)
    try:
        state = files.read_state_dict(args.input)
    except MissingCheckpointError:
        raise
    except UserError as error:
        raise UserError(f'{error}\n{hint}' if hint else str(error)) from error
    try:
        converted = module.convert(state)
    except UserError as error:
        raise UserError(f'{args.input}: {error}') from error
    meta = {'source': authors, 'kind': args.name, 'rlepose_ext_version': __version__}
    files.write_checkpoint(output, converted, meta)
    print(f'{output}: {len(converted)} tensors of {authors}')
    if remark := getattr(module, 'remark', lambda _: '')(converted):
        print(remark)
    return 0
