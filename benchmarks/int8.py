"""What 8 bit costs: MMPose_Clean's MobileNetV2 0.5x with RLE on twelve annotated persons.

    python benchmarks/int8.py             # a minute
    python benchmarks/int8.py --picture docs/images/int8.jpg

| row | what |
|---|---|
| float | the released float model |
| ptq-original | its weights, rounded with MMPose_Clean's published ranges |
| ptq | its weights, rounded with our ranges, from 256 persons of LSP |
| ptq-onnx | the same model by `rlepose export --int8`, calibrated on the same persons |
| lsq, qat | MMPose_Clean's LSQ+ and QAT models |
| qat-integer-original | the integers that MMPose_Clean exported of its QAT model, run as integers |
| qat-integer | the integers that we export of it, run as integers |

OKS is the mean over the twelve COCO persons with annotated joints of MMPose's sample pictures, in
their annotated boxes, without flip test. `within` is the share of their annotated coordinates whose
error is at most the standard deviation that sigma stands for; `sigma_moved` is the mean change of
sigma against the float model, relative.
Needs ``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from _record import RESULTS, ROOT, record

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.cli.main import main as rlepose
from rlepose_ext.convert.mmpose_clean_int8 import with_integers
from rlepose_ext.evaluation.oks import object_keypoint_similarity
from rlepose_ext.geometry.crops import AREA_OF_BOX
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.annotated import AnnotatedImage, read_annotated
from rlepose_ext.inference.in_boxes import InBoxes

SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
SAMPLES = SHARED / 'data/mmpose_samples/coco'
PERSONS_OF_LSP = SHARED / 'data/lsp/lsp_train.json'
TABLES = 'weights/mmpose_clean_int8/rle_mbv2_0.50x_{}.pth'
WEIGHTS = {
    'ptq': 'weights/mmpose_clean_rle_mbv2_0.50x_192x192_float.pth',
    'lsq': 'weights/mmpose_clean_rle_mbv2_0.50x_192x192.pth',
    'qat': TABLES.format('qat'),
}
FLOAT_CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb256-420e_aic-coco-192x192.py'
CONFIG = 'configs/quant/rle-{}_mobilenetv2-050_1xb256-100e_aic-coco-192x192.py'
RESULT = RESULTS / 'int8.json'
BATCH = 96
CODE = ('rlepose_ext/quant', 'rlepose_ext/export', 'rlepose_ext/models/estimators')


def float_model(folder: Path) -> PoseEstimator:
    """The released float model."""
    out = folder / 'float.pth'
    _rlepose('convert', 'mmpose-clean', SHARED / WEIGHTS['ptq'], out)
    return PoseEstimator(ROOT / FLOAT_CONFIG, out, 'cpu', flip_test=False, fast=False)


def original(stage: str, folder: Path, ours: str | None = None) -> PoseEstimator:
    """A stage of MMPose_Clean, rounded with its ranges.

    Args:
        stage: ``'ptq'``, ``'lsq'`` or ``'qat'``.
        folder: for the checkpoint.
        ours: stage of our config. By default that which rounds as MMPose_Clean does: with scales of
            weights from the file, but of PTQ with those of the weights.
    """
    out = folder / f'{stage}.pth'
    ranges = SHARED / TABLES.format(f'{stage}_quant_info')
    _rlepose('convert', 'mmpose-clean', SHARED / WEIGHTS[stage], out, '--ranges', ranges, '--force')
    config = ROOT / CONFIG.format(ours or ('lsq' if stage == 'ptq' else 'qat'))
    return PoseEstimator(config, out, 'cpu', flip_test=False, fast=False)


def exported(stage: str, folder: Path) -> Path:
    """The ONNX file of what :func:`original` has put into the folder."""
    from rlepose_ext.export.onnx import export_onnx

    checkpoint = folder / f'{stage}.pth'
    return export_onnx(ROOT / CONFIG.format('qat'), checkpoint, folder / f'{stage}.onnx').path


def our_ptq(folder: Path) -> PoseEstimator:
    """The float model with ranges from persons of LSP."""
    from rlepose_ext.export.calibration import calibration_crops
    from rlepose_ext.inference.network import normalise_crops
    from rlepose_ext.quant.calibrate import calibrate

    estimator = original('ptq', folder, 'qat')
    crops = calibration_crops(estimator, PERSONS_OF_LSP)
    batches = np.array_split(crops, -(-len(crops) // BATCH))
    model, device = estimator.model, estimator.device
    calibrate(model, [normalise_crops(b, model.data_preprocessor, device) for b in batches])
    return estimator


def original_integers(qat: PoseEstimator) -> Any:
    """The integers that MMPose_Clean exported, with what a pose needs besides."""
    from rlepose_ext.export.integer import tables_of

    path = SHARED / TABLES.format('qat_quant_weight')
    return with_integers(tables_of(qat), load_file(path, map_location='cpu'))


def persons() -> list[AnnotatedImage]:
    """The twelve."""
    return read_annotated(SAMPLES / 'test_coco.json', SAMPLES)


def score(pose: InBoxes, images: list[AnnotatedImage]) -> dict[str, Any]:
    """OKS, and how well sigma tells the error."""
    similarities, within, sigmas = [], [], []
    for image in images:
        result = pose(image.path, image.boxes)
        width, height = (image.boxes[:, 2:] - image.boxes[:, :2]).T
        similarities.append(
            object_keypoint_similarity(
                result.keypoints,
                image.joints,
                image.labelled,
                np.asarray(result.meta['sigmas']),
                AREA_OF_BOX * width * height,
            )
        )
        error = np.abs(result.keypoints - image.joints)
        within.append((error <= result.sigma_px)[image.labelled])
        sigmas.append(result.sigma)
    return {
        'oks': float(np.mean(np.concatenate(similarities))),
        'within': float(np.mean(np.concatenate(within))),
        'sigma': np.concatenate(sigmas),
    }


def _rlepose(*arguments: Any) -> None:
    if rlepose([*map(str, arguments)]):
        sys.exit(f'rlepose {arguments[0]} failed')


def rows(folder: Path) -> list[dict[str, Any]]:
    """The twelve persons with each model, and the size of its file."""
    from rlepose_ext.export.integer import IntegerPose, export_integer
    from rlepose_ext.export.onnx import export_onnx
    from rlepose_ext.inference.onnx_pose import OnnxPose

    images = persons()
    exact = float_model(folder)
    config, checkpoint = ROOT / FLOAT_CONFIG, folder / 'float.pth'
    plain = export_onnx(config, checkpoint, folder / 'float.onnx').path
    rounded = export_onnx(config, checkpoint, folder / 'ptq.onnx', calibrate=PERSONS_OF_LSP)
    lsq, qat = original('lsq', folder), original('qat', folder)
    lsq_file, qat_file = (exported(stage, folder) for stage in ('lsq', 'qat'))
    theirs = original_integers(qat)
    tables = export_integer(ROOT / CONFIG.format('qat'), folder / 'qat.pth', folder / 'qat.npz')
    poses: dict[str, tuple[InBoxes, Path | None]] = {
        'float': (exact, plain),
        'ptq-original': (original('ptq', folder), None),
        'ptq': (our_ptq(folder), None),
        'ptq-onnx': (OnnxPose(rounded.path, 'cpu'), rounded.path),
        'lsq': (lsq, None),
        'lsq-onnx': (OnnxPose(lsq_file, 'cpu'), lsq_file),
        'qat': (qat, None),
        'qat-onnx': (OnnxPose(qat_file, 'cpu'), qat_file),
        'qat-integer-original': (IntegerPose(theirs), None),
        'qat-integer': (IntegerPose(tables.path), tables.path),
    }
    found = []
    for name, (pose, file) in poses.items():
        row = {'name': name, **score(pose, images)}
        sigma = row.pop('sigma')
        if name == 'float':
            reference = sigma
        row |= {'sigma_moved': float(np.mean(np.abs(sigma / reference - 1)))}
        row = {key: value if key == 'name' else round(value, 4) for key, value in row.items()}
        row['megabytes'] = None if file is None else round(file.stat().st_size / 1e6, 2)
        if name == 'ptq-onnx':
            row['ranges'] = {k: v for k, v in rounded.content['int8'].items() if k != 'tried'}
        found.append(row)
        print(row, flush=True)
    return found


def picture(path: Path, folder: Path, height: int = 480) -> None:
    """Skeletons of the float model and of three 8-bit ones on one photograph, side by side."""
    from rlepose_ext.export.integer import IntegerPose, tables_of

    image = persons()[0]
    poses = {
        'float': float_model(folder),
        'ranges before ReLU6': original('ptq', folder),
        'ours, not trained': our_ptq(folder),
        'QAT, integers': IntegerPose(tables_of(original('qat', folder))),
    }
    panels = []
    for name, pose in poses.items():
        drawn = pose(image.path, image.boxes).plot()
        x1, y1, x2, y2 = image.boxes[0]
        width = 0.6 * (y2 - y1)
        middle = (x1 + x2) / 2
        left, right = max(int(middle - width / 2), 0), int(middle + width / 2)
        panel = drawn[max(int(y1 - 20), 0) : int(y2 + 20), left:right]
        panel = cv2.resize(panel, (int(height * panel.shape[1] / panel.shape[0]), height))
        cv2.putText(panel, name, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(panel, name, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255,) * 3, 1, cv2.LINE_AA)
        panels.append(panel)
    cv2.imwrite(str(path), np.hstack(panels), [cv2.IMWRITE_JPEG_QUALITY, 85])


def main() -> None:
    """The twelve persons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--picture', type=Path, help='draw them side by side, into this file')
    parser.add_argument('--output', type=Path, default=RESULT)
    args = parser.parse_args()
    if not (SHARED / WEIGHTS['qat']).exists():
        sys.exit(f'{SHARED / WEIGHTS["qat"]} does not exist; set RLEPOSE_SHARED')
    with tempfile.TemporaryDirectory() as name:
        if args.picture:
            picture(args.picture, Path(name))
            return
        record(args.output, rows(Path(name)), code=CODE, persons=12)


if __name__ == '__main__':
    main()
