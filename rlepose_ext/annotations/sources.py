"""What a check covers: a data set of the catalogue, the data of a config, or a user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rlepose_ext.annotations.catalogue import CATALOGUE, KnownSet
from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.metainfo import PoseMeta, load_metainfo, read_config, read_metainfo
from rlepose_ext.annotations.report import Findings, PartReport
from rlepose_ext.data_paths import VARIABLE, move_path
from rlepose_ext.errors import UserError

_DEFAULT_ROOT = 'data'
_BESIDES = {'bbox_file': 'detected boxes', 'headbox_file': 'head boxes'}


def data_root(root: str | Path | None = None) -> Path:
    """The folder of all data sets: ``root``, else ``RLEPOSE_DATA``, else ``data``."""
    return Path(root or os.environ.get(VARIABLE) or _DEFAULT_ROOT)


def check_known(known: KnownSet, root: Path, limit: int | None = None) -> list[PartReport]:
    """Check every file of a data set of the catalogue.

    Args:
        known: the data set.
        root: the folder of all data sets.
        limit: image files to look at in each split.
    """
    meta = load_metainfo(known.metainfo)
    reports, remedy = [], f'. To get it: {known.source}'
    for split in known.splits:
        title, path = f'{known.name} {split.name}', root / split.annotations
        if not path.is_file():
            reports.append(_absent(title, path, split.image_folder(root), split.needed, remedy))
            remedy = ''  # once is enough
            continue
        reports.append(
            check_part(
                title,
                path,
                split.image_folder(root),
                meta,
                limit,
                split.num_images,
                split.num_annotations,
                split.images_only,
            )
        )
    for extra in known.extras:
        if not (root / extra.path).is_file():
            reports.append(
                _absent(f'{known.name}, {extra.purpose}', root / extra.path, '', extra.needed)
            )
    return reports


def _absent(
    title: str, path: Path, images: str | Path, needed: bool, remedy: str = ''
) -> PartReport:
    findings = Findings()
    (findings.problem if needed else findings.note)(f'{path} is missing{remedy}')
    report = PartReport(title, str(path), str(images))
    report.findings = list(findings)
    return report


def is_there(known: KnownSet, root: Path) -> str:
    """``'complete'``, ``'partly'`` or ``'-'``, by the needed files and folders alone."""
    needed = [root / split.annotations for split in known.splits if split.needed]
    needed += [split.image_folder(root) for split in known.splits if split.needed]
    needed += [root / extra.path for extra in known.extras if extra.needed]
    there = [path.exists() for path in needed]
    return 'complete' if all(there) else 'partly' if any(there) else '-'


def check_config(
    config: str | Path, root: str | Path | None = None, limit: int | None = None
) -> list[PartReport]:
    """Check what a config reads for training, validation and test.

    Args:
        config: path of a config.
        root: instead of the first folder of relative paths, ``data`` in MMPose's configs.
        limit: image files to look at in each part.

    Raises:
        UserError: there is no such config, or it has no data set with an annotation file.
    """
    if not Path(config).is_file():
        raise UserError(f'config {config} does not exist (seen from {Path.cwd()}).')
    base, reports, seen = data_root(root), [], set()
    with _environment(VARIABLE, str(base)):  # our own bases read it
        content = read_config(config)
    for phase in ('train', 'val', 'test'):
        loader = content.get(f'{phase}_dataloader') or {}
        for dataset in _datasets(loader.get('dataset') or {}):
            own_root = dataset.get('data_root') or ''
            path = _below(own_root, dataset['ann_file'], base)
            images = _below(own_root, (dataset.get('data_prefix') or {}).get('img') or '', base)
            if (path, images) in seen:
                continue
            seen.add((path, images))
            meta = _metainfo_of(dataset)
            title = f'{phase} of {Path(config).name}'
            # With detected boxes, a test reads nothing but the images.
            images_only = phase == 'test' and bool(dataset.get('bbox_file'))
            if path.is_file():
                reports.append(
                    check_part(title, path, images, meta, limit, images_only=images_only)
                )
            else:
                reports.append(_absent(title, path, images, needed=True))
            for key, what in _BESIDES.items():
                file = _below('', dataset.get(key) or '', base)
                if dataset.get(key) and not file.is_file():
                    reports.append(_absent(what, file, '', needed=True))
    if not reports:
        raise UserError(f'{config} has no data set with an ann_file.')
    return reports


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def check_own(
    annotations: str | Path, images: str | Path, metainfo: str, limit: int | None = None
) -> PartReport:
    """Check a user's own data.

    Args:
        annotations: COCO keypoint json.
        images: folder of its images.
        metainfo: a file, or a name of the catalogue.
        limit: image files to look at.

    Raises:
        UserError: a file or the folder does not exist.
    """
    if not Path(annotations).is_file():
        raise UserError(f'annotation file {annotations} does not exist (seen from {Path.cwd()}).')
    if not Path(images).is_dir():
        raise UserError(f'image folder {images} does not exist (seen from {Path.cwd()}).')
    known = CATALOGUE.get(metainfo)
    meta = load_metainfo(known.metainfo if known else metainfo)
    return check_part(Path(annotations).name, annotations, images, meta, limit)


def draw(reports: list[PartReport], out: str | Path) -> Path:
    """A contact sheet of the first part that has annotations and metainfo.

    Raises:
        UserError: none has, or it cannot be drawn.
    """
    from rlepose_ext.annotations.contact_sheet import write_sheet

    for report in reports:
        if report.pose_file is not None and report.meta is not None:
            return write_sheet(report.pose_file, report.images, report.meta, out)
    raise UserError('there is nothing to draw: no annotations with metainfo were read.')


def _datasets(dataset: Mapping) -> Iterator[Mapping]:
    """The data sets with files; those of a CombinedDataset have metainfo of their own."""
    if dataset.get('ann_file'):
        yield dataset
    for part in dataset.get('datasets') or ():
        yield from _datasets(part)
    inner = dataset.get('dataset')
    if isinstance(inner, Mapping):  # RepeatDataset and its kind
        yield from _datasets(inner)


def _below(folder: str, name: str, base: Path) -> Path:
    return Path(move_path(os.path.join(folder, name), str(base)))


def _metainfo_of(dataset: Mapping) -> PoseMeta | None:
    info = dataset.get('metainfo')
    if info is None:
        import mmpose.datasets  # noqa: F401  (registers)
        from mmpose.registry import DATASETS

        kind = DATASETS.get(dataset['type'])
        info = getattr(kind, 'METAINFO', None) or None
    return read_metainfo(info, f'of {dataset.get("type")}') if info else None
