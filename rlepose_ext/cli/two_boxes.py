"""``rlepose test --boxes gt,det``: the same model in annotated and in detected boxes.

A top-down model is shown one person at a time, and whose boxes it is shown decides its score: RLE
has AP 70.9 in annotated boxes of COCO and 69.5 in detected ones. Each kind is a test of its own,
by the same command with another ``test_dataloader.dataset.bbox_file``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlepose_ext.data_paths import VARIABLE, move_path
from rlepose_ext.errors import UserError

_COCO_ANNOTATIONS = 'person_keypoints_val2017.json'
_COCO_DETECTIONS = 'person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
# Metrics that compare with the joints of each sample, which a detected box has not.
_NEED_JOINTS = {
    'PCKAccuracy': ('PCK', 'PCKh', 'tPCK'),
    'AUC': ('AUC',),
    'EPE': ('EPE',),
    'NME': ('NME',),
    'PoseBaselines': (),
}
# One run of the test overwrites what the other has written.
_ONCE = ('dump', 'show_dir')


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option ``--boxes`` of ``rlepose test``."""
    parser.add_argument(
        '--boxes',
        metavar='KIND,...',
        help='test a top-down model once for each kind of boxes and show the results side by side; '
        "kinds: gt, those of the annotations; det, the config's detected ones (of COCO val2017 "
        'the usual file, if the config names none); or a file of detected boxes. --out takes all',
    )


def run(args: argparse.Namespace, config: str, content: Mapping[str, Any], checkpoint: str) -> int:
    """Test once for each kind of boxes, print a table, and write one JSON file.

    Args:
        args: of ``rlepose test``; ``argv`` is the whole command line.
        config: the config file.
        content: what it says, with overrides.
        checkpoint: a file or URL.

    Returns:
        0, or the exit status of the first test that failed.

    Raises:
        UserError: the model is not top-down, a file of boxes is missing, or an option does not
            go together with ``--boxes``.
    """
    for name in _ONCE:
        if getattr(args, name) is not None:
            raise UserError(f'--{name.replace("_", "-")} with --boxes: test each kind by itself')
    boxes = {kind: box_file(kind, content, config) for kind in args.boxes.split(',')}
    without = without_joints(content, [kind for kind, file in boxes.items() if file])
    work_dir = args.work_dir or content.get('work_dir') or f'work_dirs/{Path(config).stem}'
    out = Path(args.out or Path(work_dir) / 'boxes.json')
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, file in boxes.items():
            metrics = Path(folder) / 'metrics.json'
            # The last of several options counts.
            command = [sys.executable, '-m', 'rlepose_ext.cli.main', *args.argv, '--boxes=']
            command += ['--out', str(metrics)]
            command += ['--cfg-options', f'test_dataloader.dataset.bbox_file={file}']
            if args.dry_run:
                print(shlex.join(command))
                continue
            print(f'boxes: {kind}', flush=True)
            status = subprocess.run(command).returncode
            if status != 0:
                return status
            found = json.loads(metrics.read_text())
            if file is not None:
                found = {k: v for k, v in found.items() if k.rpartition('/')[2] not in without}
            results[kind] = {'bbox_file': file, 'metrics': found}
    if args.dry_run:
        return 0
    print(table({Path(kind).name: result['metrics'] for kind, result in results.items()}))
    if without:
        print(f'{", ".join(without)}: not of detected boxes, which have no annotated joints')
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps({'config': config, 'checkpoint': checkpoint, 'boxes': results}, indent=2)
    )
    print(f'written to {out}')
    return 0


def without_joints(config: Mapping[str, Any], detected: list[str]) -> list[str]:
    """Names of metrics that make no sense in detected boxes.

    Args:
        config: with overrides.
        detected: the kinds of boxes that are detected ones.

    Raises:
        UserError: the config has no other metrics.
    """
    evaluators = config.get('test_evaluator') or []
    evaluators = [evaluators] if isinstance(evaluators, Mapping) else evaluators
    kinds = [str(each.get('type')).rpartition('.')[2] for each in evaluators]
    without = [name for kind in kinds for name in _NEED_JOINTS.get(kind, ())]
    if detected and kinds and all(kind in _NEED_JOINTS for kind in kinds):
        raise UserError(
            f'--boxes {",".join(detected)}: {", ".join(kinds)} compare with the annotated joints '
            'of each box, which detected boxes have not. Test with CocoMetric, or --boxes gt.'
        )
    return without if detected else []


def box_file(kind: str, config: Mapping[str, Any], name: str) -> str | None:
    """The file of boxes of a kind.

    Args:
        kind: ``gt``, ``det`` or a path.
        config: with overrides.
        name: of the config, for messages.

    Returns:
        The path; None for the boxes of the annotations.

    Raises:
        UserError: the config's test takes no boxes, or has no such file.
    """
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    if 'ann_file' not in dataset or dataset.get('data_mode', 'topdown') != 'topdown':
        raise UserError(
            f'--boxes: expected a config that tests a top-down model on one data set; {name} has '
            f'test_dataloader.dataset of type {dataset.get("type")}, data_mode '
            f'{dataset.get("data_mode")!r}. Leave --boxes out.'
        )
    if kind == 'gt':
        return None
    file = os.path.abspath(kind) if kind != 'det' else dataset.get('bbox_file')
    if file is None and Path(dataset['ann_file']).name == _COCO_ANNOTATIONS:
        file = os.path.join(dataset.get('data_root') or '', _COCO_DETECTIONS)
    if file is None:
        raise UserError(
            f'--boxes det: {name} names no file of detected boxes. Give one, such as '
            '--boxes gt,boxes.json: a JSON list of {"image_id", "bbox": [x, y, w, h], "score"}.'
        )
    file = move_path(file, os.environ.get(VARIABLE) or 'data')
    if not os.path.isfile(file):
        raise UserError(
            f'--boxes {kind}: the file of detected boxes {file} does not exist (seen from '
            f'{os.getcwd()}). docs/datasets.md says where to get it; --boxes gt does without, '
            'and --boxes gt,FILE takes another.'
        )
    if set(file) & set(' ,()[]\'"'):
        raise UserError(
            f'{file}: --cfg-options cannot carry blanks, commas, brackets and quotes. Link or '
            'copy the file to a path without.'
        )
    return file


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Results side by side: one row for each metric, one column for each kind of boxes."""
    names = list(dict.fromkeys(name for metrics in results.values() for name in metrics))
    width = max(map(len, names), default=0)
    columns = {kind: max(len(kind), 8) for kind in results}
    lines = [' ' * width + ''.join(f'  {kind:>{size}}' for kind, size in columns.items())]
    for name in names:
        values = (results[kind].get(name) for kind in columns)
        cells = ('-' if value is None else f'{value:.4f}' for value in values)
        row = zip(cells, columns.values(), strict=True)
        lines.append(f'{name:<{width}}' + ''.join(f'  {cell:>{size}}' for cell, size in row))
    return '\n'.join(lines)
