"""A sheet of persons with their joints drawn, for looking at what a check cannot know."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import cv2
import numpy as np

from rlepose_ext.annotations.metainfo import PoseMeta
from rlepose_ext.annotations.pose_file import PoseFile
from rlepose_ext.checkpoints.files import write_atomically
from rlepose_ext.errors import UserError

_AROUND = 0.15  # of the box's longer side
_FAR = 10_000  # px of the sheet: OpenCV cannot draw to just anywhere
_BACKGROUND, _BOX = 32, (90, 220, 90)


def write_sheet(
    pose_file: PoseFile,
    images: str | Path,
    meta: PoseMeta,
    out: str | Path,
    number: int = 24,
    tile: int = 240,
    legend: bool = False,
) -> Path:
    """Draw persons spread evenly over the file: box, links and joints.

    A disc is a visible joint (v = 2), a ring one that is hidden (v = 1). Colours are those of
    the metainfo, so left and right are seen. Persons without a labelled joint, a usable box or a
    readable image are passed over.

    Args:
        pose_file: the annotations.
        images: folder of the images.
        meta: names, links and colours of the joints.
        out: picture to write, by its ending.
        number: of persons.
        tile: side of a person's square in px.
        legend: number the joints, and list their names at the right side.

    Returns:
        ``out``.

    Raises:
        UserError: nothing can be drawn, or ``out`` cannot be written.
    """
    with np.errstate(invalid='ignore'):
        good = (pose_file.boxes[:, 2:] > 0).all(axis=1) & np.isfinite(pose_file.boxes).all(axis=1)
    good &= pose_file.labelled.any(axis=1) & (pose_file.image_of >= 0)
    persons = np.flatnonzero(good)
    if len(persons):
        persons = persons[np.linspace(0, len(persons) - 1, min(number, len(persons))).astype(int)]
    tiles = [_tile(pose_file, person, Path(images), meta, tile, legend) for person in persons]
    tiles = [picture for picture in tiles if picture is not None]
    if not tiles:
        raise UserError(
            f'no person of {pose_file.path} can be drawn: expected one with a labelled joint, a '
            f'box and a readable image in {images}.'
        )
    columns = ceil(len(tiles) ** 0.5)
    sheet = np.full((ceil(len(tiles) / columns) * tile, columns * tile, 3), _BACKGROUND, np.uint8)
    for index, picture in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet[row * tile :, column * tile :][:tile, :tile] = picture
    if legend:
        sheet = np.hstack([sheet, _legend(meta, len(sheet))])
    out = Path(out)
    try:
        encoded = cv2.imencode(out.suffix or '.jpg', sheet)[1].tobytes()
        write_atomically(encoded, out)
    except (cv2.error, OSError) as error:
        raise UserError(f'{out} cannot be written as a picture: {error}') from error
    return out


def _tile(
    pose_file: PoseFile, person: int, images: Path, meta: PoseMeta, tile: int, numbers: bool
) -> np.ndarray | None:
    """A square of the image around the person's box, drawn on; None without an image."""
    path = images / pose_file.names[pose_file.image_of[person]]
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        return None
    box = pose_file.boxes[person]
    side = box[2:].max() * (1 + 2 * _AROUND)
    scale = tile / side
    start = box[:2] + box[2:] / 2 - side / 2
    matrix = np.array([[scale, 0, -start[0] * scale], [0, scale, -start[1] * scale]])
    picture = cv2.warpAffine(image, matrix, (tile, tile), borderValue=(_BACKGROUND,) * 3)

    def place(point: np.ndarray) -> tuple[int, int]:
        with np.errstate(over='ignore'):
            x, y = np.clip(np.rint((point - start) * scale), -_FAR, _FAR)
        return int(x), int(y)

    cv2.rectangle(picture, place(box[:2]), place(box[:2] + box[2:]), _BOX, 1)
    joints, labelled = pose_file.keypoints[person], pose_file.labelled[person]
    colors = [color[::-1] for color in meta.colors]  # RGB to OpenCV's BGR
    for a, b in meta.links:
        if labelled[a] and labelled[b]:
            ends = place(joints[a, :2]), place(joints[b, :2])
            cv2.line(picture, *ends, colors[b], max(1, tile // 160), cv2.LINE_AA)
    for k, (x, y, v) in enumerate(joints):
        if labelled[k]:
            filled = -1 if v == 2 else 1
            radius = max(1, tile // (60 if len(joints) < 30 else 120))
            cv2.circle(picture, place(np.array((x, y))), radius, colors[k], filled, cv2.LINE_AA)
            if numbers:
                left, top = place(np.array((x, y)))
                _write(picture, str(k), (left + radius + 1, top - radius), colors[k])
    return picture


def _legend(meta: PoseMeta, height: int) -> np.ndarray:
    """Numbers and names of the joints in their colours, in as many columns as they need."""
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    # OpenCV's letters are those of ASCII.
    font = ImageFont.truetype(findfont('DejaVu Sans'), 13)
    names = [f'{k} {name}' for k, name in enumerate(meta.joints)]
    line, width = 18, 24 + ceil(max(map(font.getlength, names)))
    rows = max(1, height // line - 1)
    size = width * ceil(len(names) / rows), height
    picture = Image.new('RGB', size, (_BACKGROUND,) * 3)
    draw = ImageDraw.Draw(picture)
    for k, name in enumerate(names):
        column, row = divmod(k, rows)
        place, color = (8 + column * width, line * row + 4), tuple(meta.colors[k])
        draw.text(place, name, color, font, stroke_width=1, stroke_fill=(0, 0, 0))
    return np.ascontiguousarray(np.array(picture)[..., ::-1])


def _write(picture: np.ndarray, text: str, place: tuple[int, int], color: tuple[int, ...]) -> None:
    for shade, thickness in (((0, 0, 0), 3), (color, 1)):  # dark around it, for bright pictures
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, shade, thickness, cv2.LINE_AA
        )
