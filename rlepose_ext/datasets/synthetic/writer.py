"""Writing a drawn data set in COCO's layout, all or nothing, by one or several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import cv2
import numpy as np

from rlepose_ext.datasets.synthetic.config import (
    GENERATOR,
    GENERATOR_VERSION,
    SyntheticPeopleConfig,
    as_config,
)
from rlepose_ext.datasets.synthetic.scene import draw_image
from rlepose_ext.datasets.synthetic.skeleton import BONES, JOINTS
from rlepose_ext.errors import UserError

SPLITS = ('train', 'val')
STAMP = 'dataset.json'
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DatasetPaths:
    """Where a written data set lies; ``reused`` tells that nothing had to be drawn."""

    root: Path
    train_json: Path
    val_json: Path
    train_images: Path
    val_images: Path
    reused: bool = False


def write_dataset(
    out_dir: str | Path,
    num_train: int,
    num_val: int,
    seed: int,
    config: SyntheticPeopleConfig | Mapping[str, object] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> DatasetPaths:
    """Draw a training and a validation set, or find them there already.

    Writes ``images/{train,val}/*.jpg`` and ``annotations/{train,val}.json`` (COCO person
    keypoints), which MMPose's ``CocoDataset`` reads with ``data_root=out_dir``,
    ``ann_file='annotations/train.json'`` and ``data_prefix=dict(img='images/train/')``.
    An image depends on (seed, split, its number) and the config only, so the files are the
    same byte for byte whatever the number of workers, and a longer set begins with a
    shorter one. Everything is drawn into a folder beside ``out_dir`` that takes its place
    at the end: an interrupted run leaves no half data set behind.

    Args:
        out_dir: folder to write; created with its parents.
        num_train: number of training images.
        num_val: number of validation images.
        seed: any integer from 0.
        config: a config, a mapping of its values, or ``None``.
        progress: called with (images done, images in all) after each image.
        workers: processes that draw.

    Returns:
        The paths. A complete data set of the same request (seed, numbers, config, generator
        version) is reused; any other one that this function wrote is replaced.

    Raises:
        UserError: a bad number or config, or a folder with other people's files in it.
    """
    for name, value, low in (
        ('num_train', num_train, 1), ('num_val', num_val, 1), ('seed', seed, 0),
        ('workers', workers, 1),
    ):  # fmt: skip
        if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
            raise UserError(f'write_dataset: {name} must be an integer from {low}, not {value!r}.')
    config = as_config(config)
    out = Path(out_dir).resolve()
    request = {
        'generator': GENERATOR,
        'version': GENERATOR_VERSION,
        'seed': int(seed),
        'num_images': {'train': int(num_train), 'val': int(num_val)},
        'config': config.to_dict(),
    }
    if is_complete(out, request):
        return _paths(out, reused=True)
    _refuse_foreign(out)

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', suffix='.drawing', dir=out.parent))
    except OSError as error:
        raise UserError(
            f'Cannot write the data set to {out} ({error}). Choose another folder.'
        ) from error
    try:
        _draw_all(draft, request, config, progress, int(workers))
        # mkdtemp makes private folders; a data set is read by others.
        draft.chmod(out.parent.stat().st_mode & 0o777)
        if not _put_in_place(draft, out, request):
            return _paths(out, reused=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _paths(out)


def is_complete(root: Path, request: Mapping[str, object]) -> bool:
    """Whether ``root`` holds every file of exactly this request."""
    if _read_json(root / STAMP) != request:
        return False
    for split in SPLITS:
        info = _read_json(root / 'annotations' / f'{split}.json')
        if not isinstance(info, dict) or info.get('info', {}).get('request') != request:
            return False
        folder = root / 'images' / split
        if not folder.is_dir():
            return False
        sizes = {e.name: e.stat().st_size for e in os.scandir(folder) if e.is_file()}
        if any(not sizes.get(image['file_name']) for image in info['images']):
            return False
    return True


def draw_one(
    seed: int, split: str, index: int, config: SyntheticPeopleConfig
) -> tuple[np.ndarray, list[dict]]:
    """Image ``index`` of a split with its annotations, see :func:`draw_image`."""
    return draw_image(np.random.default_rng([seed, SPLITS.index(split), index]), config)


def _draw_all(
    root: Path,
    request: Mapping[str, object],
    config: SyntheticPeopleConfig,
    progress: Progress | None,
    workers: int,
) -> None:
    counts = request['num_images']
    jobs = [(s, i, str(root), request['seed'], config) for s in SPLITS for i in range(counts[s])]
    for split in SPLITS:
        (root / 'images' / split).mkdir(parents=True)
    tables: dict[str, list[tuple[dict, list[dict]]]] = {split: [] for split in SPLITS}
    for done, (job, entry) in enumerate(zip(jobs, _run(jobs, workers), strict=True), start=1):
        tables[job[0]].append(entry)
        if progress is not None:
            progress(done, len(jobs))
    (root / 'annotations').mkdir()
    for split in SPLITS:
        path = root / 'annotations' / f'{split}.json'
        path.write_text(json.dumps(_coco(tables[split], request)), encoding='utf-8')
    (root / STAMP).write_text(json.dumps(request, indent=2) + '\n', encoding='utf-8')


def _run(jobs: list[tuple], workers: int) -> Iterator[tuple[dict, list[dict]]]:
    if workers == 1:
        yield from map(_draw_job, jobs)
        return
    # Forked workers start at once and import nothing again.
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else 'spawn'
    context = multiprocessing.get_context(method)
    with context.Pool(workers, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        yield from pool.imap(_draw_job, jobs, chunksize=8)


def _draw_job(job: tuple[str, int, str, int, SyntheticPeopleConfig]) -> tuple[dict, list[dict]]:
    """Draw and write one image; returns its COCO entry and its annotations."""
    split, index, root, seed, config = job
    image, people = draw_one(seed, split, index, config)
    name = f'{index:06d}.jpg'
    ok, code = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, int(config.jpeg_quality)])
    if not ok:
        raise RuntimeError(f'OpenCV could not encode image {index} of {split} as JPEG')
    Path(root, 'images', split, name).write_bytes(code.tobytes())
    height, width = image.shape[:2]
    return {'id': index + 1, 'file_name': name, 'width': width, 'height': height}, people


def _coco(table: list[tuple[dict, list[dict]]], request: Mapping[str, object]) -> dict:
    annotations = []
    for image, people in table:
        for person in people:
            ids = {'id': len(annotations) + 1, 'image_id': image['id'], 'category_id': 1}
            annotations.append({**ids, **person})
    return {
        'info': {
            'description': 'Drawn people with the 17 COCO joints',
            'version': str(request['version']),
            'seed': request['seed'],
            'request': request,
        },
        'licenses': [],
        'categories': [
            {
                'id': 1,
                'name': 'person',
                'supercategory': 'person',
                'keypoints': list(JOINTS),
                'skeleton': [[a + 1, b + 1] for a, b in BONES],
            }
        ],
        'images': [image for image, _ in table],
        'annotations': annotations,
    }


def _put_in_place(draft: Path, out: Path, request: Mapping[str, object]) -> bool:
    """Move ``draft`` to ``out``; false if another run has put the same set there meanwhile."""
    if is_complete(out, request):
        return False
    old = draft.with_suffix('.old')
    if out.exists():
        out.rename(old)
    try:
        draft.rename(out)
    except OSError:
        if is_complete(out, request):
            return False
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _refuse_foreign(out: Path) -> None:
    """Only an empty folder or one that we wrote may be replaced."""
    if not out.exists():
        return
    if out.is_dir():
        if not any(out.iterdir()):
            return
        stamps = [_read_json(out / STAMP)]
        for split in SPLITS:
            table = _read_json(out / 'annotations' / f'{split}.json')
            info = table.get('info') if isinstance(table, dict) else None
            stamps.append(info.get('request') if isinstance(info, dict) else None)
        if any(isinstance(s, dict) and s.get('generator') == GENERATOR for s in stamps):
            return
    raise UserError(
        f'{out} exists and was not written by write_dataset; it stays untouched. '
        'Choose another folder for the drawn data set.'
    )


def _read_json(path: Path) -> object:
    """Content of a JSON file; ``None`` where there is none or only a part of one."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


def _paths(root: Path, reused: bool = False) -> DatasetPaths:
    return DatasetPaths(
        root=root,
        train_json=root / 'annotations' / 'train.json',
        val_json=root / 'annotations' / 'val.json',
        train_images=root / 'images' / 'train',
        val_images=root / 'images' / 'val',
        reused=reused,
    )
