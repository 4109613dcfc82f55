"""Checking annotations, images and metainfo that belong together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.annotations.flips import FlipReport, check_flips
from rlepose_ext.annotations.images import ImageCheck, check_images
from rlepose_ext.annotations.metainfo import PoseMeta
from rlepose_ext.annotations.pose_file import PoseFile, read_pose_file
from rlepose_ext.annotations.report import Findings, PartReport
from rlepose_ext.annotations.statistics import (
    BORDER,
    joint_statistics,
    out_of_image,
)
from rlepose_ext.errors import UserError

# Beyond this share of labelled joints, it is no slip of the annotator but a wrong format.
_MOST_STRAY = 0.2
_WIDER = 0.25  # a joint counts as in its box within this share of the box's side around it


def check_part(
    title: str,
    annotations: str | Path,
    images: str | Path | None = None,
    meta: PoseMeta | None = None,
    limit: int | None = None,
    num_images: int | None = None,
    num_annotations: int | None = None,
    images_only: bool = False,
    content: Any = None,
) -> PartReport:
    """Check one annotation file with its images.

    ``rlepose data check`` looks at all there is. When a data set is built, its annotations are
    checked alone, as they have been read.

    Args:
        title: of the report.
        annotations: COCO keypoint json, or MPII's.
        images: folder of the images; without it they are not looked at.
        meta: of its joints; without it neither names nor flip pairs are checked.
        limit: look at so many image files, spread evenly; all by default.
        num_images: how many the file should have.
        num_annotations: the same for annotations.
        images_only: whether a list of images will do, as the tests of COCO's test-dev read it.
        content: of the file, where it has been read already.
    """
    report = PartReport(title, str(annotations), str(images or ''))
    findings = Findings()
    try:
        pose_file = read_pose_file(annotations, len(meta.joints) if meta else None, content)
    except UserError as error:
        findings.problem(str(error))
        report.findings = list(findings)
        return report
    report.pose_file, report.meta = pose_file, meta
    for warning in pose_file.warnings:
        findings.note(warning)
    for problem, examples in pose_file.problems.items():
        findings.problem(problem, examples)
    _check_counts(pose_file, meta, num_images, num_annotations, findings)
    checked = _check_images(pose_file, images, limit, findings)
    _check_ids(pose_file, findings)
    labelled = pose_file.labelled
    report.counts = {
        'images': len(pose_file.names),
        'annotations': pose_file.total,
        'persons': int(labelled.any(axis=1).sum()),
        'labelled_joints': int(labelled.sum()),
        'images_checked': checked.checked,
    }
    for problem in meta.problems if meta else ():
        findings.problem(f'metainfo {meta.source}: {problem}')
    if images_only and pose_file.images_only:
        findings.note('it lists images, without annotations, which is all that a test reads')
    else:
        _check_poses(report, checked.sizes, findings)
    report.findings = list(findings)
    return report


def _check_poses(report: PartReport, found: dict[str, tuple[int, int]], findings: Findings) -> None:
    """Joints, boxes and flip pairs; fills ``joints`` and ``flips`` of the report."""
    pose_file, meta = report.pose_file, report.meta
    labelled, sizes = pose_file.labelled, _sizes(pose_file, found)
    outside = out_of_image(pose_file.keypoints, sizes)
    _check_joints(pose_file, labelled, outside, findings)
    _check_boxes(pose_file, labelled, sizes, findings)
    names = meta.joints if meta else [str(k) for k in range(labelled.shape[1])]
    report.joints = joint_statistics(pose_file.keypoints, labelled, pose_file.boxes, outside, names)
    never = [joint.name for joint in report.joints if not joint.labelled]
    findings.note('joints are never labelled', never if labelled.any() else [])
    if meta:
        report.flips = check_flips(pose_file.keypoints, labelled, pose_file.boxes, meta)
        _judge_flips(report.flips, meta, findings)


def _check_counts(
    pose_file: PoseFile,
    meta: PoseMeta | None,
    num_images: int | None,
    num_annotations: int | None,
    findings: Findings,
) -> None:
    there = {
        'images': (len(pose_file.names), num_images),
        'annotations': (pose_file.total, num_annotations),
    }
    for what, (count, expected) in there.items():
        if expected is not None and count != expected:
            findings.problem(f'{count:,} {what} are listed, the public file has {expected:,}')
    number = pose_file.keypoints.shape[1]
    source = f'metainfo {meta.source}' if meta else 'most of the file'
    findings.problem(
        f'annotations have another number of joints than the {number} of {source}',
        [f'{annotation} ({count})' for annotation, count in pose_file.other_counts],
    )
    if meta:
        _check_names(pose_file.joint_names, meta.joints, findings)


def _check_names(theirs: Sequence[str], ours: Sequence[str], findings: Findings) -> None:
    """Compare the names of a file with those of the metainfo, where both have names."""
    if len(theirs) != len(ours) or _are_numbers(theirs) or _are_numbers(ours):
        return
    plain = [set(map(_plain, names)) for names in (theirs, ours)]
    other = [
        f'{k} is {a} in the file, {b} in the metainfo'
        for k, (a, b) in enumerate(zip(theirs, ours, strict=True))
        if _plain(a) != _plain(b)
        and (_plain(a) in plain[1] or _plain(b) in plain[0] or not _is_short_form(a, b))
    ]
    what = 'another order' if plain[0] == plain[1] else 'other names'
    findings.problem(f'joints have {what} in the file than in the metainfo', other)


def _plain(name: str) -> str:
    return ''.join(letter for letter in name.lower() if letter.isalnum())


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether they only count: ``1``, ``2``, or ``kpt-0``, ``kpt-1``."""
    parts = [re.fullmatch(r'(\D*)\d+', name) for name in names]
    return all(parts) and len({part[1] for part in parts}) <= 1


def _is_short_form(one: str, other: str) -> bool:
    """Whether one has initials or fewer words: public files and MMPose differ in these.

    CrowdPose has ``head`` for ``top_head``, AP-10K ``left_front_paw`` for ``L_F_Paw``.
    """
    spaced = [re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name) for name in (one, other)]
    words = [re.findall(r'[^\W_]+', name.lower()) for name in spaced]
    return any(
        all(any(long.startswith(short) for long in longs) for short in shorts)
        for shorts, longs in (words, words[::-1])
    )


def _check_images(
    pose_file: PoseFile, folder: str | Path | None, limit: int | None, findings: Findings
) -> ImageCheck:
    wanted = list(zip(pose_file.names, pose_file.sizes, strict=True))
    if limit is not None and limit < len(wanted):
        wanted = [wanted[i] for i in np.linspace(0, len(wanted) - 1, limit).astype(int)]
    if folder is None:
        return ImageCheck()
    if not Path(folder).is_dir():
        findings.problem(f'the image folder {folder} does not exist')
        wanted = []
    checked = check_images(folder, wanted)
    findings.problem('images are missing', checked.missing)
    broken = [f'{name} ({kind})' for name, kind in checked.broken.items()]
    findings.problem('images are broken', broken)
    findings.problem('images have another size than annotated', checked.other_size)
    return checked


def _check_ids(pose_file: PoseFile, findings: Findings) -> None:
    for what, values in (
        ('annotation ids come more than once', pose_file.ids),
        ('image ids come more than once', pose_file.image_ids),
        ('image files are listed more than once', pose_file.names),
    ):
        findings.problem(what, [value for value, count in Counter(values).items() if count > 1])


def _sizes(pose_file: PoseFile, found: dict[str, tuple[int, int]]) -> np.ndarray:
    """(N, 2) size of each annotation's image in px: as annotated, else as found, else nan."""
    unknown = (np.nan, np.nan)
    sizes = [
        annotated or found.get(name, unknown)
        for name, annotated in zip(pose_file.names, pose_file.sizes, strict=True)
    ]
    table = np.array([*sizes, unknown], float)  # the last one for images that are not listed
    return table[pose_file.image_of]


def _check_joints(
    pose_file: PoseFile, labelled: np.ndarray, outside: np.ndarray, findings: Findings
) -> None:
    ids, keypoints = pose_file.ids, pose_file.keypoints
    bad = ~np.isfinite(keypoints).all(axis=(1, 2))
    findings.problem('annotations have joints that are NaN or infinite', _of(ids, bad))
    with np.errstate(invalid='ignore'):
        odd = ~np.isin(keypoints[..., 2], (0, 1, 2)) & np.isfinite(keypoints[..., 2])
    findings.problem('annotations have a visibility other than 0, 1, 2', _of(ids, odd.any(axis=1)))
    findings.problem(
        'annotations have a num_keypoints that is no number', _of(ids, np.isnan(pose_file.said))
    )
    said, count = pose_file.said, labelled.sum(axis=1)
    findings.note(
        'annotations say another num_keypoints than they have labelled joints',
        _of(ids, (said >= 0) & (said != count)),
    )
    findings.problem(
        'annotations have labelled joints but num_keypoints 0, so MMPose leaves them out',
        _of(ids, (said == 0) & (count > 0)),
    )
    stray = outside & labelled
    share = stray.sum() / max(1, labelled.sum())
    if share > _MOST_STRAY:
        findings.problem(
            f'{share:.0%} of the labelled joints lie out of their image: check the order of x and '
            'y, and the unit, which is px'
        )
    else:
        findings.note(
            f'annotations have labelled joints more than {BORDER:g} px out of the image, in all '
            f'{int(stray.sum()):,} joints',
            _of(ids, stray.any(axis=1)),
        )
    if not labelled.any():
        findings.problem('no joint is labelled')


def _check_boxes(
    pose_file: PoseFile, labelled: np.ndarray, sizes: np.ndarray, findings: Findings
) -> None:
    ids, boxes, used = pose_file.ids, pose_file.boxes, labelled.any(axis=1)
    with np.errstate(invalid='ignore'):
        good = (boxes[:, 2:] > 0).all(axis=1) & np.isfinite(boxes).all(axis=1)
        low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        away = good & ((high < 0) | (low > sizes)).any(axis=1)
        over = good & ~away & ((low < -BORDER) | (high > sizes + BORDER)).any(axis=1)
        rim = _WIDER * boxes[:, None, 2:]
        xy = pose_file.keypoints[..., :2]
        inside = ((xy >= low[:, None] - rim) & (xy <= high[:, None] + rim)).all(axis=-1)
    findings.problem('annotations with labelled joints have no usable box', _of(ids, ~good & used))
    findings.note('annotations without labelled joints have no usable box', _of(ids, ~good & ~used))
    findings.problem('boxes lie wholly out of the image', _of(ids, away))
    findings.note('boxes reach out of the image', _of(ids, over))
    stray = labelled & ~inside & good[:, None]
    share = stray.sum() / max(1, (labelled & good[:, None]).sum())
    if share > _MOST_STRAY:
        findings.problem(
            f'{share:.0%} of the labelled joints lie far out of their box: check that bbox is x, '
            'y, width, height in px'
        )


def _of(ids: Sequence[Any], chosen: np.ndarray) -> list[Any]:
    return [ids[index] for index in np.flatnonzero(chosen)]


def _judge_flips(flips: FlipReport, meta: PoseMeta, findings: Findings) -> None:
    findings.problem('flip pairs contradict the names of joints', flips.names)
    findings.problem('flip pairs contradict the poses', flips.wrong)
    if not meta.pairs and len(meta.joints) > 1:
        findings.note('no joint swaps with another: right only if the object has no left and right')
    if flips.facing is not None and flips.facing < 0.5 and flips.joints[0].persons:
        findings.note(
            'joints named left lie to the left in the image in most pairs: either people turn '
            "their backs, or left is the viewer's and not the person's"
        )


def wrong_joint_count(
    samples: Iterable[Mapping[str, Any]], metainfo: Mapping[str, Any], path: str | Path
) -> str | None:
    """The first sample with another number of joints than its metainfo, as a sentence.

    Args:
        samples: what a data set of MMPose loaded; ``keypoints`` are N x K x 2.
        metainfo: parsed metainfo, with ``num_keypoints``.
        path: the annotation file.
    """
    expected = metainfo.get('num_keypoints')
    for entry in samples:
        shape = getattr(entry.get('keypoints'), 'shape', ())
        if expected is not None and len(shape) == 3 and shape[1] != expected:
            return (
                f'annotation {entry.get("id")} of image {entry.get("img_id")} in {path} has '
                f'{shape[1]} joints, but the metainfo {metainfo.get("dataset_name")!r} has '
                f'{expected}. Give the data set the metainfo of these annotations: '
                "metainfo=dict(from_file='.../your_dataset.py'), or the `type` of data set that "
                'they were made for.'
            )
    return None
