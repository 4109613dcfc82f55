"""``rlepose init``: labels become annotation files, metainfo, a config and a contact sheet."""

from __future__ import annotations

import json
import os
import pprint
import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.coco_json import refuse
from rlepose_ext.annotations.contact_sheet import write_sheet
from rlepose_ext.annotations.metainfo import load_metainfo
from rlepose_ext.annotations.report import PartReport
from rlepose_ext.errors import UserError
from rlepose_ext.own_data.guesses import guess_links, guess_partners, lie_in_all_directions
from rlepose_ext.own_data.objects import Images, Object, as_coco, find_objects, split
from rlepose_ext.own_data.readers import read_labels
from rlepose_ext.own_data.sigmas import measure

_MODEL = 'heatmap_resnet18-slim'
_SAMPLES = 16_000  # crops that a training sees: minutes on two cores
_EPOCHS = (20, 300)
_BATCH = (4, 16)  # a fiftieth of the objects: where they are few, more steps for the same work
_WARM_UP = 0.05  # of all iterations
_SELDOM = 0.05  # of the objects
_SIGMA = 0.05  # of the object's size; COCO's go from 0.025 (eyes) to 0.107 (hips)
_TWICE = 5  # objects in which two people have labelled a joint, below which its sigma is a guess
_LEFT, _RIGHT, _MIDDLE = [0, 255, 0], [255, 128, 0], [51, 153, 255]
_FILES = ('train.json', 'val.json', 'metainfo.py', 'sheet.png')


def init(
    folder: Path,
    labels: str,
    second: str | None = None,
    out: Path | None = None,
    name: str | None = None,
    by_image: bool = False,
    skip_bad: bool = False,
    force: bool = False,
    seed: int = 0,
) -> str:
    """Write a folder, whole or not at all.

    Args:
        folder: of the data.
        labels: as :func:`~rlepose_ext.own_data.readers.read_labels` takes it.
        second: labels of the same images by another person, from which OKS sigmas are measured.
        out: folder to write; ``rlepose`` in ``folder`` by default.
        name: of the objects; by default that of the folder.
        by_image: split image by image, and not by sequences.
        skip_bad: leave out entries that cannot be used, instead of refusing the labels.
        force: replace what an earlier call has written.
        seed: of the split.

    Returns:
        What was read, guessed and written, and the next commands.

    Raises:
        UserError: the labels cannot be used, those of the second person do not belong to them, or
            the folder is there.
    """
    if not folder.is_dir():
        raise UserError(f'the folder {folder} does not exist (seen from {Path.cwd()}).')
    out = out or folder / 'rlepose'
    name = re.sub(r'\W+', '_', name or folder.resolve().name).strip('_').lower() or 'own'
    _check_out(out, folder, force)
    read = read_labels(folder, labels)
    objects, problems, bare = find_objects(read, Images(folder, read.source, out))
    if not skip_bad:
        refuse(read.source, problems)
    files = {o.file for o in objects}
    if len(files) < 2:
        why = ''.join(f'; {each}' for each in [*read.notes, *problems[:1]])
        raise UserError(
            f'{read.source}: expected labelled objects in at least two images, one to train on '
            f'and one to validate; found {len(objects)} objects that can be used{why}.'
        )
    val_files, how = split(objects, by_image, seed)
    train = [o for o in objects if o.file not in val_files]
    val = [o for o in objects if o.file in val_files]
    keypoints, boxes = np.array([o.keypoints for o in objects]), np.array([o.box for o in objects])
    partners, source = guess_partners(read.joints, read.pairs, keypoints, boxes)
    pairs = [f'{read.joints[a]}/{read.joints[b]}' for a, b in enumerate(partners) if a < b]
    index = {joint: k for k, joint in enumerate(read.joints)}
    links = [(index[a], index[b]) for a, b in read.links] or guess_links(keypoints)
    sigmas, said_of_sigmas = _sigmas(folder, labels, second, len(index))
    turned = lie_in_all_directions(keypoints)
    length = fit(len(train))
    config = f'{_MODEL}_{name}-96x96.py'
    ways = ((folder, out), (out, folder))
    root, here = (Path(os.path.relpath(a.resolve(), b.resolve())).as_posix() for a, b in ways)
    head = (
        f'# {name}: {len(index)} joints, {len(train)} objects to train on; written by rlepose init.'
    )
    texts = {
        'train.json': json.dumps(as_coco(train, name, read.joints)),
        'val.json': json.dumps(as_coco(val, name, read.joints)),
        'metainfo.py': metainfo_text(name, read.joints, partners, links, sigmas),
        config: f'{head}\n{config_text(len(index), length, bool(pairs), turned, root, here)}',
    }
    report = _write(out, texts, folder, as_coco(objects, name, read.joints))
    said = [
        f'{read.source}: {read.kind}, {len(objects)} objects with {len(index)} joints in '
        f'{len(files)} images',
        *[f'  {note}' for note in read.notes],
        *_said_of_classes(objects),
        f'  {len(train)} to train on, {len(val)} to validate, {how}',
        f'  left and right, from {source}: {", ".join(pairs)}' if pairs else
        '  no left and right found: images will not be mirrored',
        f'  OKS sigmas: {said_of_sigmas}',
        f'  objects lie {"in all directions" if turned else "upright"}',
        f'  {length["epochs"]} epochs of {length["per_epoch"]} iterations, the first '
        f'{length["warm_up"]} to warm up',
        *[f'  {finding}' for finding in report.findings],
        *[f'  left out: {problem}' for problem in problems],
    ]  # fmt: skip
    counts = (keypoints[..., 2] > 0).sum(axis=0)
    seldom = [j for j, n in zip(read.joints, counts, strict=True) if n < len(objects) * _SELDOM]
    if seldom:
        said.append(f'  seldom labelled, perhaps misspelt: {", ".join(seldom)}')
    if bare:
        said.append(f'  left out: {bare} objects without enough labelled joints')
    return '\n'.join([*said, '', *next_steps(out, config, name, length['epochs'])])


def _said_of_classes(objects: Sequence[Object]) -> list[str]:
    classes = Counter(o.label for o in objects if o.label)
    if len(classes) < 2:
        return []
    counts = ', '.join(f'{count} {name}' for name, count in classes.most_common())
    return [f'  {len(classes)} classes are trained as one: {counts}']


def _check_out(out: Path, folder: Path, force: bool) -> None:
    """Refuse to overwrite; even with ``force`` anything but what init itself has written."""
    for path in (out.resolve(), folder.resolve()):  # both are in strings of the config
        if set('\'"{}\\') & set(str(path)):
            raise UserError(
                f'{path}: a config cannot name a folder with quotes or braces; rename it.'
            )
    if not out.exists():
        return
    if not force:
        raise UserError(f'{out} is there already: give another --out, or replace it with --force.')
    if not out.is_dir() or not all(
        path.name in _FILES or path.match(f'{_MODEL}_*.py') for path in out.iterdir()
    ):
        raise UserError(f'{out} holds files that rlepose init has not written: give another --out.')


def _write(
    out: Path, texts: Mapping[str, str], folder: Path, content: Mapping[str, Any]
) -> PartReport:
    """Put files and the sheet into ``out``, all or none; what a check of all the data says."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f'.{out.name}-', dir=out.parent) as parent:
            draft = Path(parent) / 'draft'
            draft.mkdir()
            for file, text in texts.items():
                (draft / file).write_text(text, encoding='utf-8')
            meta = load_metainfo(draft / 'metainfo.py')
            report = check_part('all', folder, None, meta, content=content)
            write_sheet(report.pose_file, folder, meta, draft / 'sheet.png', 16, 320, legend=True)
            if out.exists():
                out.rename(Path(parent) / 'old')
            draft.rename(out)
    except OSError as error:
        raise UserError(f'{out} cannot be written: {error}') from error
    return report


def fit(objects: int) -> dict[str, int]:
    """``batch``, ``epochs``, iterations ``per_epoch`` and of ``warm_up`` for so many objects."""
    batch = int(np.clip(objects // 50, *_BATCH))
    epochs, per_epoch = int(np.clip(_SAMPLES // objects, *_EPOCHS)), -(-objects // batch)
    warm_up = max(1, int(_WARM_UP * epochs * per_epoch))
    return {'batch': batch, 'epochs': epochs, 'per_epoch': per_epoch, 'warm_up': warm_up}


def _sigmas(folder: Path, labels: str, second: str | None, joints: int) -> tuple[list[float], str]:
    """A sigma for each joint, and where they come from."""
    if second is None:
        return [_SIGMA] * joints, f'{_SIGMA} for each joint; --second measures them'
    _, found, count, _ = measure(folder, labels, second)
    sure = (count >= _TWICE) & (found > 0)
    if not sure.any():
        raise UserError(
            f'{labels} and {second}: expected a joint that both label in {_TWICE} objects or more, '
            f'got at most {count.max()}; leave --second out.'
        )
    found = np.where(sure, found, np.median(found[sure]))
    guessed = f'; the median for {(~sure).sum()} joints with fewer than {_TWICE}' * (not sure.all())
    low, high = found.min(), found.max()
    return found.round(4).tolist(), f'{low:.3f} to {high:.3f}, measured from both labels{guessed}'


def metainfo_text(
    name: str,
    joints: Sequence[str],
    partners: Sequence[int],
    links: Sequence[tuple[int, int]],
    sigmas: Sequence[float],
) -> str:
    """The metainfo file, as MMPose reads it."""
    colors = [_color(joints, k, partner) for k, partner in enumerate(partners)]
    swaps = ['' if k == partner else joints[partner] for k, partner in enumerate(partners)]
    info = {
        'dataset_name': name,
        'paper_info': dict.fromkeys(('author', 'title', 'container', 'year', 'homepage'), ''),
        'keypoint_info': {
            k: {'name': joint, 'id': k, 'color': colors[k], 'type': '', 'swap': swaps[k]}
            for k, joint in enumerate(joints)
        },
        'skeleton_info': {
            i: {'link': (joints[a], joints[b]), 'id': i, 'color': colors[b]}
            for i, (a, b) in enumerate(links)
        },
        'joint_weights': [1.0] * len(joints),
        'sigmas': list(sigmas),
    }
    text = pprint.pformat(info, width=99, compact=True, sort_dicts=False)
    head = f'"""Joints of {name}; docs/datasets.md says what the keys are."""'
    return f'{head}\n\ndataset_info = {text}\n'


def _color(joints: Sequence[str], k: int, partner: int) -> list[int]:
    """Of joint k; of a pair whose names do not say which is left, the first."""
    if k == partner:
        return _MIDDLE
    lefts = [_is_left(joints[k]), _is_left(joints[partner])]
    return _LEFT if (lefts[0] if any(lefts) else k < partner) else _RIGHT


def _is_left(joint: str) -> bool:
    words = {word.lower() for word in re.findall(r'[A-Z]?[a-z]+|[A-Z]', joint)}
    return bool(words & {'left', 'l'})


def config_text(
    joints: int, length: Mapping[str, int], mirrored: bool, turned: bool, root: str, here: str
) -> str:
    """The config, complete but for MMPose's runtime, so that it can be moved and read alone.

    Args:
        joints: their number.
        length: of :func:`fit`.
        mirrored: whether to mirror images; without flip pairs that would teach wrong joints.
        turned: whether objects lie in all directions.
        root: the folder of the data, seen from the config's.
        here: the reverse.
    """
    flip = "    dict(type='RandomFlip', direction='horizontal'),\n" if mirrored else ''
    epochs = length['epochs']
    return f"""\
_base_ = ['mmpose::_base_/default_runtime.py']
custom_imports = dict(imports=['rlepose_ext'])

data_root = '{{{{ fileDirname }}}}/{root}/'
metainfo = dict(from_file='{{{{ fileDirname }}}}/metainfo.py')
dataset_type = 'CocoDataset'  # MMPoseInferencer reads these two
data_mode = 'topdown'

train_cfg = dict(max_epochs={epochs}, val_interval={max(1, epochs // 10)})
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    badcase=dict(metric=dict(type='L1Loss')),  # px, mean over x and y of all joints
)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', end={length['warm_up']}, start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max={epochs}, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size={length['batch']})

codec = dict(type='MSRAHeatmap', input_size=(96, 96), heatmap_size=(24, 24), sigma=1.5)

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        stem_channels=16,
        base_channels=16,
        strides=(1, 2, 2, 1),
        out_indices=(3,),
    ),
    head=dict(
        type='HeatmapHead',
        in_channels=128,
        out_channels={joints},
        deconv_out_channels=(32, 32),
        deconv_kernel_sizes=(4, 4),
        decoder=codec,
    ),
    test_cfg=dict(flip_test={mirrored}, flip_mode='heatmap', shift_heatmap=True),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
{flip}\
    dict(
        type='RandomBBoxTransform',
        shift_factor=0.03,
        scale_factor=[0.75, 1.25],
        rotate_factor={180 if turned else 30},
        rotate_prob=0.5,
    ),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

# No workers: a small picture is prepared sooner than it is handed from process to process.
train_dataloader = dict(
    batch_size={length['batch']},
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='{here}/train.json',
        data_prefix=dict(img=''),
        metainfo=metainfo,
        pipeline=train_pipeline,
    ),
)
val_dataloader = test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='{here}/val.json',
        data_prefix=dict(img=''),
        metainfo=metainfo,
        pipeline=val_pipeline,
        test_mode=True,
    ),
)
val_evaluator = test_evaluator = dict(
    type='rlepose_ext.PoseBaselines',
    thr=0.05,
    prefix='PCK@0.05',
    ann_file=data_root + '{here}/train.json',
    img_root=data_root,
)
"""


def next_steps(out: Path, config: str, name: str, epochs: int) -> list[str]:
    """Commands that work as they stand."""
    work = f'work_dirs/{name}'
    config, checkpoint = shlex.quote(str(out / config)), f'{work}/epoch_{epochs}.pth'
    return [
        f'Look at {out / "sheet.png"}: are joints, names, left and right where they belong? Then',
        f'  rlepose train {config} --work-dir {work}',
        f'  rlepose test {config} --checkpoint {checkpoint}',
        f'  rlepose demo PICTURE --det full --pose {config} {checkpoint}',
        f'  rlepose export {config} {checkpoint} --out {work}/{name}.onnx',
        f'  rlepose demo PICTURE --det full --pose {work}/{name}.onnx',
    ]
