"""LIP's annotations as a COCO keypoint file, with the sizes that only the images know.

LIP has no boxes: each image is a crop of one person, so the box is the whole image. Its size is
not in the csv and comes from the head of the image file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlepose_ext.datasets.lip import JOINTS, SKELETON
from rlepose_ext.datasets.lip_csv import (
    OCCLUDED,
    VISIBLE,
    Problem,
    Row,
    Statistics,
    read_csv,
    refuse,
    statistics,
)
from rlepose_ext.engine.checkpoint_files import write_atomically
from rlepose_ext.errors import UserError

# LIP's v to COCO's; None: not in the image.
COCO_FLAG = {VISIBLE: 2, OCCLUDED: 1, None: 0}


def image_sizes(
    rows: Sequence[Row], folder: str | Path
) -> tuple[dict[str, tuple[int, int]], list[Problem]]:
    """Width and height of each row's image, from the heads of the files.

    Returns:
        Name to (width, height) as OpenCV would load it, which turns photographs as their EXIF
        tag says; and a problem for each image that is missing or no image.

    Raises:
        UserError: the folder does not exist.
    """
    from PIL import Image, UnidentifiedImageError

    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"image folder {folder} does not exist. Expected the folder with LIP's images, "
            'train_images/ or val_images/, that belongs to the csv.'
        )
    sizes, problems = {}, []
    for row in rows:
        path = folder / row.name
        try:
            with Image.open(path) as image:
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                sizes[row.name] = image.size[::-1] if turned else image.size
        except FileNotFoundError:
            problems.append(Problem(row.line, f'image {path} is missing'))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            problems.append(Problem(row.line, f'image {path} cannot be read: {reason}'))
    return sizes, problems


def outside(rows: Sequence[Row], sizes: Mapping[str, tuple[int, int]]) -> list[Problem]:
    """Joints that do not lie on a pixel of their image. They are labels all the same."""
    problems = []
    for row in rows:
        width, height = sizes[row.name]
        for index, joint in enumerate(row.joints):
            if joint and not (0 <= joint[0] <= width - 1 and 0 <= joint[1] <= height - 1):
                where = f'({joint[0]:g}, {joint[1]:g}) outside of {row.name}, {width}x{height}'
                problems.append(Problem(row.line, f'joint {index} ({JOINTS[index]}) at {where}'))
    return problems


def to_coco(rows: Sequence[Row], sizes: Mapping[str, tuple[int, int]]) -> dict:
    """COCO keypoint annotations: one person per image, whose box is the image.

    Args:
        rows: from :func:`parse_rows`.
        sizes: name to (width, height) in px, for every row.
    """
    images, annotations = [], []
    for number, row in enumerate(rows, start=1):
        width, height = sizes[row.name]
        keypoints = []
        for joint in row.joints:
            x, y, flag = joint or (0, 0, None)
            keypoints += [_plain(x), _plain(y), COCO_FLAG[flag]]
        images.append({'id': number, 'file_name': row.name, 'width': width, 'height': height})
        annotations.append(
            {
                'id': number,
                'image_id': number,
                'category_id': 1,
                'iscrowd': 0,
                'bbox': [0, 0, width, height],
                'area': width * height,
                'num_keypoints': sum(joint is not None for joint in row.joints),
                'keypoints': keypoints,
            }
        )
    category = {'id': 1, 'name': 'person', 'keypoints': list(JOINTS)}
    category['skeleton'] = [[a + 1, b + 1] for a, b in SKELETON]  # COCO counts from 1
    return {'images': images, 'annotations': annotations, 'categories': [category]}


def _plain(number: float) -> float | int:
    """12 instead of 12.0: the file is a third smaller."""
    return int(number) if number == int(number) else number


def write_json(path: str | Path, content: dict) -> None:
    """Write the whole file or nothing.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        write_atomically(json.dumps(content, separators=(',', ':')).encode(), path)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error}') from error


def convert(
    csv_path: str | Path, image_dir: str | Path, out: str | Path, skip_bad: bool = False
) -> tuple[Statistics, list[Problem], list[Problem]]:
    """Write the COCO keypoint file of a csv.

    Args:
        csv_path: LIP's csv.
        image_dir: the folder of its images.
        out: json to write.
        skip_bad: leave out lines with a problem, instead of refusing the file.

    Returns:
        What was written, the lines left out, and the joints outside of their image.

    Raises:
        UserError: bad lines or missing images without ``skip_bad``, or nothing left to write.
    """
    rows, problems = read_csv(csv_path)
    sizes, missing = image_sizes(rows, image_dir)
    problems = sorted(problems + missing, key=lambda problem: problem.line)
    if not skip_bad:
        refuse(csv_path, problems, 'Correct them, or add --skip-bad to leave these lines out.')
    rows = [row for row in rows if row.name in sizes]
    if not rows:
        refuse(csv_path, problems, 'No line is left to convert.')
    write_json(out, to_coco(rows, sizes))
    return statistics(rows), problems, outside(rows, sizes)
