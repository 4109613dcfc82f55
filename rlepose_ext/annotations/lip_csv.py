"""LIP's csv of poses: read, checked, counted, and written as a COCO keypoint file.

A line is ``name.jpg, x1, y1, v1, ... x16, y16, v16``: 49 columns, without a header. A joint that
is not there is ``nan,nan,nan``. The flag v means the opposite of what a reader of COCO expects:

========  ===============  ==========
LIP's v   the joint is     COCO's v
========  ===============  ==========
0         visible          2
1         occluded         1
nan       not in the image 0
========  ===============  ==========

LIP has no boxes: each image is a crop of one person, so the box is the whole image. Its size is
not in the csv and comes from the head of the image file.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlepose_ext.annotations import coco_json
from rlepose_ext.annotations.lip import JOINTS, NUM_JOINTS, SKELETON
from rlepose_ext.errors import UserError

NUM_COLUMNS = 1 + 3 * NUM_JOINTS
VISIBLE, OCCLUDED = 0, 1
# LIP's v to COCO's; None: not in the image.
COCO_FLAG = {VISIBLE: 2, OCCLUDED: 1, None: 0}
_SHOWN = 5

# x, y in image px, and LIP's v; None for a joint that is not in the image.
Joint = tuple[float, float, int] | None


@dataclass(frozen=True)
class Row:
    """One line of the csv.

    Attributes:
        line: its number, from 1.
        name: file name of the image.
        joints: 16 of x, y in image px and v (0 visible, 1 occluded), None for absent ones.
    """

    line: int
    name: str
    joints: tuple[Joint, ...]


@dataclass(frozen=True)
class Problem:
    """Something wrong in a line.

    Attributes:
        line: its number, from 1.
        what: a clause, such as ``"47 columns, expected 49"``.
    """

    line: int
    what: str

    def __str__(self) -> str:
        return f'line {self.line}: {self.what}'


def parse_row(line: int, cells: Sequence[str]) -> Row:
    """Read one line.

    Args:
        line: its number, from 1, for messages.
        cells: its columns.

    Raises:
        ValueError: the columns are not those of LIP; the message is a clause for a
            :class:`Problem`.
    """
    if len(cells) != NUM_COLUMNS:
        raise ValueError(f'{len(cells)} columns, expected {NUM_COLUMNS}: a name and 16 x, y, v')
    name, *rest = (cell.strip() for cell in cells)
    if not name:
        raise ValueError('no file name in column 1')
    numbers = [_number(text, 2 + i, header=line == 1) for i, text in enumerate(rest)]
    joints = [_joint(k, numbers[3 * k : 3 * k + 3]) for k in range(NUM_JOINTS)]
    return Row(line, name, tuple(joints))


def _number(text: str, column: int, header: bool) -> float:
    try:
        number = float(text)
    except ValueError:
        hint = '; a csv of LIP has no header' if header else ''
        raise ValueError(f'{text!r} in column {column} is not a number{hint}') from None
    if math.isinf(number):
        raise ValueError(f'{text!r} in column {column} is not finite')
    return number


def _joint(index: int, numbers: Sequence[float]) -> Joint:
    absent = [math.isnan(number) for number in numbers]
    if all(absent):
        return None
    x, y, flag = numbers
    if any(absent):
        raise ValueError(
            f'joint {index} ({JOINTS[index]}) is {x:g},{y:g},{flag:g}: all three must be numbers, '
            'or all three nan'
        )
    if flag not in (VISIBLE, OCCLUDED):
        raise ValueError(
            f'joint {index} ({JOINTS[index]}) has v = {flag:g}, expected 0 (visible) or 1 '
            '(occluded); a file with 2 has the flags of COCO'
        )
    return x, y, int(flag)


def parse_rows(lines: Iterable[str]) -> tuple[list[Row], list[Problem]]:
    """Read the lines of a csv; empty ones are passed over.

    Returns:
        The good rows, and what is wrong in the others. Of rows with one file name the first is
        good.
    """
    rows, problems = [], []
    first_of: dict[str, int] = {}
    reader = csv.reader(lines)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            row = parse_row(reader.line_num, cells)
        except ValueError as error:
            problems.append(Problem(reader.line_num, str(error)))
            continue
        if row.name in first_of:
            what = f'{row.name} is in line {first_of[row.name]} already'
            problems.append(Problem(row.line, what))
            continue
        first_of[row.name] = row.line
        rows.append(row)
    return rows, problems


def read_csv(path: str | Path) -> tuple[list[Row], list[Problem]]:
    """:func:`parse_rows` of a file.

    Raises:
        UserError: it cannot be read as text, or has no line.
    """
    try:
        # utf-8-sig: an editor may have put a byte order mark in front.
        with open(path, newline='', encoding='utf-8-sig') as file:
            rows, problems = parse_rows(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read as text ({error}). Expected LIP's csv of poses, such as "
            'lip_val_set.csv: name.jpg and 48 numbers in each line.'
        ) from error
    if not rows and not problems:
        raise UserError(f'{path} is empty. Expected one line with 49 columns for each image.')
    return rows, problems


@dataclass(frozen=True)
class Statistics:
    """What is in a csv. Joints are counted over all rows.

    Attributes:
        images: number of rows.
        visible, occluded, absent: number of joints of each kind.
        joints_per_image: number of labelled joints to number of images.
    """

    images: int = 0
    visible: int = 0
    occluded: int = 0
    absent: int = 0
    joints_per_image: Mapping[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        labelled = [number for number, count in self.joints_per_image.items() if count]
        spread = f'{min(labelled)} to {max(labelled)}' if labelled else 'no'
        return (
            f'{self.images:,} images; joints: {self.visible:,} visible, {self.occluded:,} '
            f'occluded, {self.absent:,} absent; {spread} per image, all {NUM_JOINTS} in '
            f'{self.joints_per_image.get(NUM_JOINTS, 0):,}'
        )


def statistics(rows: Sequence[Row]) -> Statistics:
    """Count joints by kind, and images by number of joints."""
    flags = Counter(joint and joint[2] for row in rows for joint in row.joints)
    per_image = Counter(sum(joint is not None for joint in row.joints) for row in rows)
    return Statistics(
        images=len(rows),
        visible=flags[VISIBLE],
        occluded=flags[OCCLUDED],
        absent=flags[None],
        joints_per_image=dict(sorted(per_image.items())),
    )


def refuse(path: str | Path, problems: Sequence[Problem], remedy: str) -> None:
    """Raise if there are problems.

    Raises:
        UserError: with the number of problems and the first few.
    """
    if problems:
        shown = '; '.join(map(str, problems[:_SHOWN]))
        more = f'; and {len(problems) - _SHOWN} more' if len(problems) > _SHOWN else ''
        raise UserError(f'{path}: {len(problems)} bad line(s). {shown}{more}. {remedy}')


def image_sizes(
    rows: Sequence[Row], folder: str | Path
) -> tuple[dict[str, tuple[int, int]], list[Problem]]:
    """Width and height of each row's image, from the heads of the files.

    Returns:
        Name to (width, height) as OpenCV would load it; and a problem for each image that is
        missing or broken.

    Raises:
        UserError: the folder does not exist.
    """
    line_of = {row.name: row.line for row in rows}
    sizes, bad = coco_json.image_sizes(folder, list(line_of))
    return sizes, [Problem(line_of[name], what) for name, what in bad.items()]


def outside(rows: Sequence[Row], sizes: Mapping[str, tuple[int, int]]) -> list[Problem]:
    """Joints that do not lie on a pixel of their image; they still count as labels."""
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
    coco_json.write_json(out, to_coco(rows, sizes))
    return statistics(rows), problems, outside(rows, sizes)
