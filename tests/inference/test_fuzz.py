"""240 damaged images, videos and box files: a result or a UserError, nothing else.

Videos are decoded by C code of which a crash would end the tests, so they are read in a process
of their own: this file is its program.
"""

import copy
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rlepose_ext.errors import UserError
from rlepose_ext.inference.box_file import BoxFile
from rlepose_ext.inference.boxes import MAX_COORDINATE
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.video import VideoReader

IMAGES, BYTES_OF_BOXES, VALUES_OF_BOXES, VIDEOS = 120, 40, 40, 40
DETECTIONS = [
    {'image_id': 785, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'score': 0.5},
    {'image_id': 5, 'category_id': 1, 'bbox': [1.5, 2.5, 3, 4], 'score': 0.25},
]
ANNOTATIONS = {
    'images': [{'id': 3, 'file_name': 'val/785.jpg'}],
    'annotations': [{'image_id': 3, 'category_id': 1, 'bbox': [1, 2, 3, 4]}],
    'categories': [{'id': 1, 'name': 'person'}],
}
PLAIN = {'785.jpg': [[1, 2, 4, 6, 0.5], [1, 2, 4, 6]], 'v.mp4:3': [[1, 2, 4, 6]]}
BOX_FILES = (DETECTIONS, ANNOTATIONS, PLAIN)
STRANGE = (
    None, True, 0, -1, 10**400, 1e39, 1e308, float('nan'), float('inf'), '', 'x', '1234',
    '\ud800', '\0', '785.jpg', [], {}, [[]], [None], {'a': 1}, [1, 2, 3, 4],
)  # fmt: skip


def damaged(content, rng):
    """The bytes with flipped bits, cut, zeroed, doubled, overwritten, or with another header."""
    data = bytearray(content)
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 65))
    part = slice(place, place + length)
    kind = rng.integers(6)
    if kind == 0:
        for place in rng.integers(len(data), size=rng.integers(1, 20)):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data = data[:place]
    elif kind == 2:
        data[part] = bytes(len(data[part]))
    elif kind == 3:
        data[place:place] = data[place : place + 4 * length]
    elif kind == 4:
        data[part] = rng.bytes(len(data[part]))
    else:
        for place in rng.integers(min(len(data), 64), size=rng.integers(1, 6)):
            data[place] = int(rng.integers(256))
    return bytes(data)


def pictures():
    """Name to bytes: one small picture in the formats and kinds of pixels that there are."""
    rough = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    array = cv2.resize(rough, (40, 30), interpolation=cv2.INTER_CUBIC)
    color, deep = Image.fromarray(array), Image.fromarray(array[..., 0].astype(np.uint16) * 256)
    glass = Image.fromarray(np.concatenate([array, array[..., :1]], axis=2))
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = ('plain.jpg', 'plain.png', 'plain.gif', 'plain.webp', 'plain.tif', 'plain.bmp')
    kinds = {name: (color, {}) for name in plain}
    kinds |= {'turned.jpg': (color, {'exif': exif}), 'cmyk.jpg': (color.convert('CMYK'), {})}
    kinds |= {'deep.png': (deep, {}), 'deep.tif': (deep, {})}
    kinds |= {'glass.webp': (glass, {'lossless': True})}
    kinds |= {'lzw.tif': (color, {'compression': 'tiff_lzw'})}
    formats, found = {'jpg': 'JPEG', 'tif': 'TIFF'}, {}
    for name, (image, options) in kinds.items():
        stream = io.BytesIO()
        suffix = name.split('.')[1]
        image.save(stream, formats.get(suffix, suffix.upper()), **options)
        found[name] = stream.getvalue()
    return found


def clips(folder):
    """Name to bytes: one small clip in three containers and codecs."""
    from clips import numbered

    found = {}
    for name, codec in (('mpeg4.mp4', 'mp4v'), ('jpeg.avi', 'MJPG'), ('mpeg4.avi', 'XVID')):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*codec), 10, (96, 64))
        for number in range(8):
            writer.write(numbered(number))
        writer.release()
        found[name] = (folder / name).read_bytes()
    return found


def places(content, above=()):
    """The paths to all values of a JSON content."""
    yield above
    if isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from places(value, (*above, key))


def strange(content, rng):
    """The content with a value replaced, removed or renamed."""
    content = copy.deepcopy(content)
    found = list(places(content))
    path, value = found[rng.integers(len(found))], copy.deepcopy(STRANGE[rng.integers(21)])
    if not path:
        return value
    target = content
    for key in path[:-1]:
        target = target[key]
    if rng.random() < 0.2:
        del target[path[-1]]
    elif rng.random() < 0.2 and isinstance(target, dict):
        target[str(value)] = target.pop(path[-1])
    else:
        target[path[-1]] = value
    return content


def outcome(function, *arguments):
    """``'result'`` or ``'error'``; any other exception goes on."""
    try:
        function(*arguments)
    except UserError:
        return 'error'
    return 'result'


def test_damaged_images(tmp_path):
    found = Counter()

    def read(path):
        image = read_image(path)
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3

    sources = pictures()
    for name, content in sources.items():
        path = tmp_path / name
        path.write_bytes(content)
        read(path)
    for seed in range(IMAGES):
        name = list(sources)[seed % len(sources)]
        path = tmp_path / f'{seed}_{name}'
        path.write_bytes(damaged(sources[name], np.random.default_rng(seed)))
        found[outcome(read, path)] += 1
    assert min(found['result'], found['error']) > IMAGES // 4


def look_up(path):
    boxes = BoxFile(path)
    boxes.check(['785.jpg'])
    ((array, scores),) = boxes([None], ['785.jpg'])
    assert array.shape == (len(scores), 4)
    assert (array[:, 2:] > array[:, :2]).all()
    assert (np.abs(array) <= MAX_COORDINATE).all()


def test_damaged_box_files(tmp_path):
    path, found = tmp_path / 'boxes.json', Counter()
    for content in BOX_FILES:
        path.write_text(json.dumps(content))
        look_up(path)
    for seed in range(BYTES_OF_BOXES):
        content = json.dumps(BOX_FILES[seed % 3]).encode()
        path.write_bytes(damaged(content, np.random.default_rng(seed)))
        found[outcome(look_up, path)] += 1
    for seed in range(VALUES_OF_BOXES):
        content = strange(BOX_FILES[seed % 3], np.random.default_rng(seed))
        path.write_text(json.dumps(content))
        found[outcome(look_up, path)] += 1
    assert found['error'] > 40
    assert found['result'] > 4


def read_video(path):
    reader = VideoReader(path)
    count = 0
    try:
        for frame in reader:
            count += 1
            assert frame.dtype == np.uint8
            assert frame.ndim == 3
            assert frame.shape[2] == 3
    finally:
        reader.close()
    # the sources have 8, and a block may be there twice
    assert 0 < count < 64
    assert reader.fps > 0
    assert reader.average_fps() > 0
    assert isinstance(reader.check_end(), str)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_damaged_videos(tmp_path):
    sources = clips(tmp_path)
    folder = tmp_path / 'damaged'
    folder.mkdir()
    for name, content in sources.items():
        (folder / f'as_it_was_{name}').write_bytes(content)
    for seed in range(VIDEOS):
        name = list(sources)[seed % len(sources)]
        content = damaged(sources[name], np.random.default_rng(seed))
        (folder / f'{seed:03}_{name}').write_bytes(content)
    program = [sys.executable, '-X', 'faulthandler', __file__, str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=180)
    # where it stopped, if it did
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    outcomes = dict(line.split() for line in done.stdout.splitlines())
    assert len(outcomes) == VIDEOS + len(sources)
    assert [outcomes[f'as_it_was_{name}'] for name in sources] == ['result'] * len(sources)
    found = Counter(outcomes.values())
    assert min(found['result'], found['error']) > VIDEOS // 10
    # the message is the command's; neither FFmpeg nor OpenCV's log has any of its own
    assert '@' not in done.stderr


def main(folder):
    """Read all videos of a folder; a line for each, its name first."""
    for path in sorted(Path(folder).iterdir()):
        print(path.name, end=' ', flush=True)
        print(outcome(read_video, path), flush=True)


if __name__ == '__main__':
    main(sys.argv[1])
