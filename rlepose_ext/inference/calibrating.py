"""Calibrate a model on held-out labels: predict, fit on one half of the images, prove on the other.

The half that fits is divided once more: scales and correlations come from one part, the radii of
the ellipses from the other, without which their guarantee would not hold. What was found goes into
a copy of the checkpoint, from which :class:`.estimator.PoseEstimator` and `rlepose export` take it.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS

from rlepose_ext.annotations.coco_file import read_json
from rlepose_ext.calibration.repair import Calibration, HeldOut, fit
from rlepose_ext.calibration.report import (
    Proof,
    draw_reliability,
    draw_sparsification,
    over_all,
    over_splits,
    prove,
    table,
)
from rlepose_ext.checkpoints.files import write_sealed
from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.errors import UserError
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.loading import CALIBRATION, building, config_and_checkpoint
from rlepose_ext.inference.types import sizes_of
from rlepose_ext.models.losses import RLELoss

# Pictures that are in memory at once.
_TOGETHER = 32
# Of the images, that of the calibration and others.
SPLITS = 20


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What :func:`calibrate` wrote and found.

    Attributes:
        checkpoint: the new one.
        report: folder of ``report.json``, ``reliability.png`` and ``sparsification.png``.
        content: of ``report.json``.
    """

    checkpoint: Path
    report: Path
    content: dict[str, Any]


def calibrate(
    model: str | Path | Config,
    checkpoint: str | Path | None = None,
    data: tuple[str | Path, str | Path] | None = None,
    out: str | Path | None = None,
    report: str | Path | None = None,
    isotonic: bool = False,
    seed: int = 0,
    device: str = 'auto',
) -> Calibrated:
    """Measure and repair the uncertainty of a top-down model with sigma, or of a SimCC head.

    With the config's flip test and, for exported files, without: each has a calibration of its own.

    Args:
        model: config file, ``Config`` or name.
        checkpoint: file or URL.
        data: COCO annotations and folder of images; by default those that the config validates on.
        out: the checkpoint to write, by default ``<checkpoint>_calibrated.pth`` beside it.
        report: folder, by default ``<checkpoint>_calibration`` beside it.
        isotonic: correct sigma by a curve too.
        seed: of the splits and of the intervals.
        device: as of :class:`.estimator.PoseEstimator`.

    Raises:
        UserError: a model without sigma, labels of other joints, no joint with enough labels, or
            files that cannot be read or written. Then no checkpoint is written.
    """
    config, checkpoint = config_and_checkpoint(model, checkpoint)
    content = load_file(checkpoint) if Path(checkpoint).is_file() else None
    if content is None:
        raise UserError(f'{checkpoint}: expected a checkpoint file on this machine')
    out, report = (
        Path(given or Path(checkpoint).with_name(f'{Path(checkpoint).stem}_{default}'))
        for given, default in ((out, 'calibrated.pth'), (report, 'calibration'))
    )
    _check_places(out, report)
    persons = _labelled(config, data)
    options = {'model.test_cfg.sigma': True}  # of SimCC heads
    estimator = PoseEstimator(config, checkpoint, device, cfg_options=options)
    _check_joints(estimator, persons, data)
    found: dict[str, Any] = {}
    for flip_test in dict.fromkeys((estimator.flip_test, False)):
        estimator.flip_test = flip_test
        held_out = predicted(estimator, persons)
        calibration, left, proof = _calibrated(held_out, estimator, isotonic, seed)
        if proof is None:
            reasons = [f'{name}: {why}' for name, why in left.items()]
            raise UserError(f'no joint can be calibrated; the first is {reasons[0]}')
        found[str(flip_test)] = {
            **calibration.to_plain(),
            'isotonic': isotonic,
            'seed': seed,
            'left': left,
        }
        if len(found) == 1:
            first, kept = proof, {'flip_test': flip_test, 'left': left, **table(proof, seed)}
            others = (
                _calibrated(held_out, estimator, isotonic, seed + number)[2]
                for number in range(1, SPLITS)
            )
            proofs = [proof, *filter(None, others)]
            kept['rows'][f'{len(proofs)} splits'] = over_splits(proofs)
        else:
            kept['without_flip_test'] = over_all(proof, seed)
    described = {
        'config': Path(config.filename or 'config').name,
        'checkpoint': Path(checkpoint).name,
        'data': Path(data[0]).name if data else 'validation data of the config',
        'images': len({person['img_path'] for person in persons}),
        'persons': len(persons),
        'joints_that_prove': len(first.joint),
        'seed': seed,
        'isotonic': isotonic,
        'unit': 'root of the area of the box; NLL in nats per joint; [value, low, high] at 95 %, '
        'over splits [mean, lowest, highest]',
        **kept,
    }
    content.setdefault('meta', {})[CALIBRATION] = found
    _write(out, report, content, described, first)
    return Calibrated(out, report, described)


def predicted(estimator: PoseEstimator, persons: list[dict[str, Any]]) -> HeldOut:
    """Predict persons in their annotated boxes.

    Args:
        estimator: of a model with sigma.
        persons: entries of MMPose's top-down data sets.
    """
    paths = list(dict.fromkeys(person['img_path'] for person in persons))
    of_image: dict[str, list[dict[str, Any]]] = {path: [] for path in paths}
    for person in persons:
        of_image[person['img_path']].append(person)
    results = []
    for start in range(0, len(paths), _TOGETHER):
        some = paths[start : start + _TOGETHER]
        results += estimator(some, [[p['bbox'][0] for p in of_image[path]] for path in some])
    ordered = [person for path in paths for person in of_image[path]]
    error = np.concatenate([each.keypoints for each in results]).astype(float)
    error -= np.concatenate([person['keypoints'] for person in ordered])
    sigma = np.concatenate([each.sigma for each in results]).astype(float)
    labelled = np.concatenate([person['keypoints_visible'] for person in ordered]) > 0
    size = sizes_of(np.concatenate([each.boxes for each in results]))
    return HeldOut(
        error=error,
        sigma=sigma,
        score=np.concatenate([each.scores for each in results]),
        flow_nll=_flow_nll(estimator, error, sigma, size),
        labelled=labelled & np.isfinite(error + sigma).all(-1),
        visible=_visible(ordered),
        size=size,
        image=np.repeat(np.arange(len(paths)), [len(of_image[path]) for path in paths]),
        names=tuple(results[0].names),
    )


def _labelled(config: Config, data: tuple[str | Path, str | Path] | None) -> list[dict[str, Any]]:
    """Entries of the data set that the config validates on, with other files if they are given."""
    loader = config.get('val_dataloader') or config.get('test_dataloader')
    if loader is None:
        raise UserError(f'{config.filename}: there is no val_dataloader in this config')
    dataset = {**loader.dataset, 'pipeline': [], 'test_mode': False, 'bbox_file': None}
    if data is not None:
        annotations, images = map(Path, data)
        if not images.is_dir():
            raise UserError(f'--data: {images} is no folder of images')
        read_json(annotations)
        dataset |= {'data_root': None, 'ann_file': str(annotations.absolute())}
        dataset['data_prefix'] = {'img': str(images.absolute())}
    with (
        building(f'data set of {config.filename}'),
        DefaultScope.overwrite_default_scope('mmpose'),
    ):
        built = DATASETS.build(dataset)
        persons = [built.get_data_info(index) for index in range(len(built))]
    missing = sorted({p['img_path'] for p in persons if not Path(p['img_path']).is_file()})
    if missing:
        raise UserError(f'{len(missing)} images do not exist, the first is {missing[0]}')
    return persons


def _check_joints(
    estimator: PoseEstimator, persons: list[dict[str, Any]], data: tuple[str | Path, ...] | None
) -> None:
    if not estimator.has_sigma:
        raise UserError(
            f'{type(estimator.model.head).__name__} does not estimate sigma: there is nothing to '
            'calibrate. Heads with RLE do (RLEHead, SimCCRLEHead, PoseurHead), and SimCC heads.'
        )
    names = [str(estimator.meta['keypoint_id2name'][i]) for i in range(estimator.num_keypoints)]
    number = persons[0]['keypoints'].shape[1]
    named = _named_joints(data[0]) if data else [names]
    wrong = [other for other in named if [*map(_plain, other)] != [*map(_plain, names)]]
    if number != len(names) or wrong:
        theirs = f'are named {", ".join(map(str, wrong[0]))}' if wrong else f'are {number}'
        raise UserError(
            f'the labels are of other joints than the model. Theirs {theirs}. The model has '
            f'{len(names)}: {", ".join(names)}. Give --data labels of these joints, in this order.'
        )
    if not named:
        warnings.warn(
            f'{data[0]} does not name its joints: they are taken to be {", ".join(names)}, in this '
            'order',
            stacklevel=3,
        )


def _named_joints(annotations: str | Path) -> list[list[str]]:
    """Names of the joints in every category that has persons in the file and names them."""
    content = read_json(annotations)
    persons = [each for each in content.get('annotations', ()) if each.get('keypoints')]
    used = {person.get('category_id') for person in persons}
    kinds = content.get('categories') or []
    kinds = [kind for kind in kinds if kind.get('id') in used] or kinds[:1]
    return [kind['keypoints'] for kind in kinds if kind.get('keypoints')]


def _plain(name: str) -> str:
    return ''.join(letter for letter in str(name).lower() if letter.isalnum())


def _calibrated(
    held_out: HeldOut, estimator: PoseEstimator, isotonic: bool, seed: int
) -> tuple[Calibration, dict[str, str], Proof | None]:
    """The repairs, the joints that have none, and the proof, if there is a joint that has."""
    fitting, proof = held_out.split(seed)
    shape, promise = fitting.split(seed + 1)
    spread = estimator.meta['sigma_spread']
    correlation = estimator.meta['sigma_correlation'] or 0.0
    calibration, left = fit(shape, promise, proof, spread, correlation, isotonic)
    number = len(held_out.names)
    own = np.full(2, np.nan) if spread is None else spread
    before = Calibration(np.tile(own, (number, 1)), np.full(number, correlation), np.zeros(0))
    if len(left) == number:
        return calibration, left, None
    return calibration, left, prove(proof, promise, shape, before, calibration)


def _flow_nll(
    estimator: PoseEstimator, error: np.ndarray, sigma: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """``log sigma_x + log sigma_y - log G(error / sigma)``, sigma in sizes of persons; (M, K)."""
    losses = [part for part in estimator.model.head.modules() if isinstance(part, RLELoss)]
    if not losses or estimator.meta['sigma_spread'] is None:
        return np.full(error.shape[:2], np.nan)
    loss = losses[0]
    device = next(loss.parameters()).device
    standardised = torch.from_numpy(error / sigma).float().flatten(0, 1).to(device)
    with torch.inference_mode():
        log_density = torch.cat([loss.flow_model.log_prob(z) for z in standardised.split(20_000)])
    logs = np.log(sigma / size[:, None, None]).sum(-1)
    return logs - log_density.double().cpu().numpy().reshape(error.shape[:2])


def _visible(persons: list[dict[str, Any]]) -> np.ndarray:
    """(M, K), COCO's v = 2, where the labels have any; MMPose keeps it in raw annotations only."""
    labelled = np.concatenate([person['keypoints_visible'] for person in persons]) > 0
    raw = [(person.get('raw_ann_info') or {}).get('keypoints', ()) for person in persons]
    if any(np.size(each) != 3 * labelled.shape[1] for each in raw):
        return labelled
    marks = np.array([np.ravel(each)[2::3] for each in raw], float)
    return marks > 1 if (marks > 1).any() else labelled


def _check_places(out: Path, report: Path) -> None:
    """Find before the work what cannot be written after it."""
    if out.is_dir():
        raise UserError(f'--out {out} is a folder, expected the name of a file')
    if report.exists() and not report.is_dir():
        raise UserError(f'--report {report} is a file, expected a folder')
    for place in (out.absolute().parent, report.absolute()):
        there = next(each for each in (place, *place.parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise UserError(f'{there} cannot be written to: give another --out and --report')


def _write(
    out: Path, report: Path, content: Mapping[str, Any], described: dict[str, Any], proof: Proof
) -> None:
    try:
        report.mkdir(parents=True, exist_ok=True)
        draw_reliability(proof, report / 'reliability.png')
        draw_sparsification(proof, report / 'sparsification.png')
        text = json.dumps(described, indent=1) + '\n'
        (report / 'report.json').write_text(text, encoding='utf-8')
        write_sealed(lambda stream: torch.save(content, stream), out)
    except OSError as error:
        raise UserError(f'{error.filename or out} cannot be written: {error.strerror}') from error
