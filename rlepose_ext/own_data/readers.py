"""What labelling tools write, read into one form.

======== ==================================================================================
coco     COCO keypoint JSON
labelme  a JSON file for each image, with points; ``group_id`` tells several objects apart
cvat     "CVAT for images 1.1" XML: skeletons, or points that share a ``group_id``
yolo     ``data.yaml`` with ``kpt_shape``, and a text file for each image
csv      a row for each object: ``image,nose_x,nose_y,...``; or DeepLabCut's ``CollectedData``
======== ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rlepose_ext.errors import UserError
from rlepose_ext.own_data import tables, yolo
from rlepose_ext.own_data.coco import read_coco
from rlepose_ext.own_data.drawings import read_cvat, read_labelme
from rlepose_ext.own_data.labels import Labels, refuse_twins

# Reader, files that `--labels KIND` looks for, and what they should be.
KINDS: dict[str, tuple[Callable[[Path], Labels], tuple[str, ...], str]] = {
    'coco': (read_coco, ('*.json', 'annotations/*.json'), 'a COCO keypoint file'),
    'labelme': (read_labelme, (), "labelme's JSON files, one for each image"),
    'cvat': (read_cvat, ('*.xml',), 'an export as "CVAT for images 1.1"'),
    'yolo': (yolo.read_yolo, ('*.yaml', '*.yml'), yolo.EXPECTED),
    'csv': (tables.read_csv, ('*.csv',), tables.EXPECTED),
}


def read_labels(folder: Path, what: str) -> Labels:
    """Read labels.

    Args:
        folder: of the data.
        what: a file or folder, seen from here or from ``folder``; or a key of :data:`KINDS`,
            for the one that lies in ``folder``.

    Raises:
        UserError: there is no such file, it cannot be read as what it should be, or several of
            its joints have one name.
    """
    kind, path = _find(folder, what)
    read, _, expected = KINDS[kind]
    try:
        labels = read(path)
    except UserError:
        raise
    except Exception as error:  # a file may hold anything
        raise UserError(
            f'{path} cannot be read as {kind} labels ({type(error).__name__}: {error}). Expected '
            f'{expected}.'
        ) from error
    refuse_twins(labels.joints, 'joint', path)
    if not labels.joints:
        labels.joints = list(dict.fromkeys(name for item in labels.items for name in item.joints))
    return labels


def _find(folder: Path, what: str) -> tuple[str, Path]:
    if what in KINDS:
        if what == 'labelme':
            return what, folder
        found = sorted(path for pattern in KINDS[what][1] for path in folder.glob(pattern))
        if len(found) != 1:
            names = ', '.join(path.name for path in found[:4]) or 'none'
            raise UserError(
                f'--labels {what}: expected one file {" or ".join(KINDS[what][1])} in {folder}, '
                f'found {names}. Name it: --labels FILE.'
            )
        return what, found[0]
    path = next((path for path in (Path(what), folder / what) if path.exists()), None)
    if path is None:
        raise UserError(
            f'--labels {what} exists neither here ({Path.cwd()}) nor in {folder}. Give a file, or '
            f'one of {", ".join(KINDS)}.'
        )
    if path.is_dir():
        return 'labelme', path
    kinds = {'.xml': 'cvat', '.yaml': 'yolo', '.yml': 'yolo', '.csv': 'csv', '.json': 'coco'}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UserError(f'--labels {what}: expected a file with one of {", ".join(kinds)}.')
    if kind == 'coco' and '"shapes"' in path.read_text(encoding='utf-8', errors='replace'):
        kind = 'labelme'
    return kind, path
