"""Any kind of picture becomes upright 8-bit BGR, or one clear error."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rlepose_ext.errors import UserError
from rlepose_ext.inference import images
from rlepose_ext.inference.images import MAX_SIDE, read_image, write_file, write_image

RED = (200, 30, 10)


@pytest.fixture
def picture():
    """A red picture with a white pixel in its upper left corner, (6, 9, 3) RGB."""
    array = np.full((6, 9, 3), RED, np.uint8)
    array[0, 0] = 255
    return array


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize('name', ['a.png', 'a.bmp', 'a.tif', 'a.webp', 'ä ö 図.png'])
def test_lossless_formats_and_names(tmp_path, picture, name):
    options = {'lossless': True} if name.endswith('webp') else {}
    path = saved(tmp_path, Image.fromarray(picture), name, **options)
    np.testing.assert_array_equal(read_image(path), picture[..., ::-1])
    np.testing.assert_array_equal(read_image(str(path)), picture[..., ::-1])


@pytest.mark.parametrize(('orientation', 'corner'), [
    (1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)),
    (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0)),
])  # fmt: skip
def test_exif_orientation(tmp_path, picture, orientation, corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_image(saved(tmp_path, Image.fromarray(picture), 'a.png', exif=exif))
    assert found.shape == ((6, 9, 3) if orientation < 5 else (9, 6, 3))
    assert found[corner].tolist() == [255, 255, 255]


def test_transparent_pixels_are_white(tmp_path, picture):
    alpha = np.zeros((6, 9, 1), np.uint8)
    alpha[3:] = 255
    path = saved(tmp_path, Image.fromarray(np.concatenate([picture, alpha], 2)), 'a.png')
    found = read_image(path)
    assert (found[:3] == 255).all()
    assert (found[3:] == RED[::-1]).all()


def test_half_transparent_by_hand():
    array = np.array([[[0, 100, 200, 128]]], np.uint8)
    expected = [round((c * 128 + 255 * 127) / 255) for c in (0, 100, 200)]
    assert read_image(array)[0, 0].tolist() == expected


def test_palette_with_transparency_and_cmyk(tmp_path, picture):
    image = Image.fromarray(picture).convert('P')
    path = saved(tmp_path, image, 'a.png', transparency=image.getpixel((0, 0)))
    assert read_image(path)[0, 0].tolist() == [255, 255, 255]
    path = saved(tmp_path, Image.fromarray(picture).convert('CMYK'), 'a.jpg', quality=95)
    assert np.abs(read_image(path)[3, 5].astype(int) - RED[::-1]).max() < 12


def test_grey(tmp_path):
    grey = np.arange(54, dtype=np.uint8).reshape(6, 9)
    found = read_image(saved(tmp_path, Image.fromarray(grey), 'a.png'))
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, 2))
    np.testing.assert_array_equal(read_image(grey[..., None]), found)
    # sixteen bits are scaled and not cut
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    found = read_image(saved(tmp_path, Image.fromarray(deep), 'a.png'))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def drawn_files(noise, folder):
    """Pictures with hidden pixels, of all kinds that PNG has, and turned ones, by name."""
    color, alpha = noise(48, 32), noise(48, 32, seed=1)[..., 0].copy()
    alpha[:8], alpha[8:12] = 0, 255
    rgb, a = Image.fromarray(color), Image.fromarray(alpha)
    grey = Image.fromarray(color[..., 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba, la = rgb.copy(), Image.merge('LA', [grey, a])
    rgba.putalpha(a)
    palette = rgb.quantize(16)
    levels = bytes(range(0, 256, 16))
    deep = np.dstack([color, alpha]) * np.uint16(257)
    cv2.imwrite(str(folder / 'rgba16.png'), deep)
    cv2.imwrite(str(folder / 'rgb16.png'), deep[..., :3])
    cv2.imwrite(str(folder / 'grey16.png'), deep[..., 0])
    for name, image, options in (
        ('rgb', rgb, {}),
        ('rgba', rgba, {}),
        ('la', la, {}),
        ('grey', grey, {}),
        ('bits', grey.convert('1'), {}),
        ('palette', palette, {}),
        ('palette-one', palette, {'transparency': 3}),
        ('palette-all', palette, {'transparency': levels}),
        ('rgba-turned', rgba, {'exif': exif}),
        ('la-turned', la, {'exif': exif}),
        ('palette-turned', palette, {'exif': exif, 'transparency': levels}),
        ('rgb-turned', rgb, {'exif': exif}),
    ):
        image.save(folder / f'{name}.png', **options)
    rgb.save(folder / 'turned.jpg', exif=exif, quality=95)
    grey.save(folder / 'grey-turned.jpg', exif=exif, quality=95)
    rgba.save(folder / 'rgba.webp', lossless=True, exact=True)
    return sorted(folder.iterdir())


def test_opencv_alone_reads_what_pillow_reads(tmp_path, noise, monkeypatch):
    paths = drawn_files(noise, tmp_path)
    expected = [read_image(path) for path in paths]
    monkeypatch.setattr(images, 'Image', None)
    for path, picture in zip(paths, expected, strict=True):
        found = read_image(path)
        assert found.shape == picture.shape, path.name
        assert ('turned' in path.name) == (found.shape == (48, 32, 3)), path.name
        assert np.abs(found.astype(int) - picture).max() <= 1, path.name


def test_opencv_alone_and_bad_input(tmp_path, monkeypatch):
    (tmp_path / 'text.jpg').write_text('no picture')
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / 'depth.tif')
    # a header of 4 million rows
    content = io.BytesIO()
    Image.new('L', (4, 4)).save(content, 'BMP')
    huge = bytearray(content.getvalue())
    huge[18:26] = (0x00400000).to_bytes(4, 'little') * 2
    (tmp_path / 'huge.bmp').write_bytes(huge)
    monkeypatch.setattr(images, 'Image', None)
    for name, message in (
        ('text.jpg', 'no image that OpenCV can decode'),
        ('huge.bmp', 'no image that OpenCV can decode'),
        ('depth.tif', 'floating-point'),
    ):
        with pytest.raises(UserError, match=message):
            read_image(tmp_path / name)


def test_arrays_and_pillow_images(picture):
    np.testing.assert_array_equal(read_image(picture, 'rgb'), picture[..., ::-1])
    np.testing.assert_array_equal(read_image(picture, 'bgr'), picture)
    np.testing.assert_array_equal(read_image(Image.fromarray(picture)), picture[..., ::-1])


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1(dtype):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = read_image((levels / 255).astype(dtype))
    np.testing.assert_array_equal(found[..., 0], levels)
    # transparency is a share too
    assert read_image(np.array([[[0, 0, 0, 0.5]]], dtype))[0, 0].tolist() == [127, 127, 127]


def test_photographs_of_phones(tmp_path, picture, monkeypatch):
    from PIL import features

    if features.check('avif'):
        path = saved(tmp_path, Image.fromarray(picture), 'a.avif', quality=100)
        # away from the white corner, whose colour is spread
        assert np.abs(read_image(path)[3:, 4:].astype(int) - RED[::-1]).max() < 12
    # a file that says that it is HEIC, where nothing can read it
    (tmp_path / 'a.heic').write_bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic')
    monkeypatch.setattr(images, '_register_heif', lambda: False)
    with pytest.raises(UserError, match='pip install pillow-heif'):
        read_image(tmp_path / 'a.heic')
    monkeypatch.undo()
    pillow_heif = pytest.importorskip('pillow_heif')
    heif = pillow_heif.from_pillow(Image.fromarray(np.full((64, 48, 3), RED, np.uint8)))
    heif.save(tmp_path / 'b.HEIC', quality=95)
    found = read_image(tmp_path / 'b.HEIC')
    assert found.shape == (64, 48, 3)
    assert np.abs(found.astype(int) - RED[::-1]).max() < 12


def test_bad_input(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, 'JPEG')
    cut = content.getvalue()[:-1500]
    (tmp_path / 'cut.jpg').write_bytes(cut)
    (tmp_path / 'empty.jpg').touch()
    (tmp_path / 'text.jpg').write_text('no picture')
    # sides that OpenCV cannot cut from, and pixels whose range is not known
    Image.new('L', (MAX_SIDE + 1, 1)).save(tmp_path / 'strip.png')
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / 'depth.tif')
    for source, message in (
        (tmp_path / 'cut.jpg', r'cut\.jpg is truncated'),
        (Image.open(io.BytesIO(cut)), 'truncated'),
        (tmp_path / 'empty.jpg', 'is empty'),
        (tmp_path / 'text.jpg', 'no image'),
        (tmp_path / 'strip.png', rf'strip\.png has {MAX_SIDE + 1}x1 px'),
        (tmp_path / 'depth.tif', 'floating-point'),
        (tmp_path / 'absent.jpg', 'cannot be read'),
        (tmp_path / ('a' * 300 + '.jpg'), 'cannot be read'),
        (tmp_path / 'a\0.jpg', 'cannot be read'),
        (tmp_path, 'is a folder'),
        (np.zeros((4, 4, 3), np.int64), 'int64'),
        (np.full((4, 4, 3), 1.1), r'got 1\.1 to 1\.1\. Divide by 255'),
        (np.full((4, 4, 3), np.nan), 'got nan'),
        (np.full((4, 4, 3), -0.1, np.float32), r'got -0\.1'),
        (np.zeros((4, 4, 2), np.uint8), r'\(4, 4, 2\)'),
        (np.zeros((0, 4, 3), np.uint8), r'\(0, 4, 3\)'),
        (np.zeros((MAX_SIDE + 1, 1), np.uint8), f'1x{MAX_SIDE + 1} px'),
        (3, 'int'),
    ):
        with pytest.raises(UserError, match=message):
            read_image(source)
    with pytest.raises(UserError, match='channel_order'):
        read_image(noise, 'hsv')
    Image.new('L', (MAX_SIDE, 1)).save(tmp_path / 'strip.png')
    assert cv2.warpAffine(read_image(tmp_path / 'strip.png'), np.eye(2, 3), (4, 4)).shape[2] == 3


@pytest.mark.parametrize('write', [
    lambda path: write_file(path, b'content'),
    lambda path: write_image(path, np.zeros((4, 4, 3), np.uint8)),
])  # fmt: skip
def test_files_that_are_written(tmp_path, write):
    path = tmp_path / 'new' / 'folder' / 'a.png'
    assert write(path) == path
    assert write(path) == path  # in place of the first
    (tmp_path / 'b.png').mkdir()
    (tmp_path / 'c').touch()
    for wrong in (
        *(tmp_path / 'b.png', Path(), Path('/')),
        *(tmp_path / 'c' / 'a.png', tmp_path / 'a\0.png', tmp_path / ('a' * 300 + '.png')),
    ):
        with pytest.raises(UserError, match=r'folder|cannot be written|suffix'):
            write(wrong)
    assert sorted(p.name for p in tmp_path.rglob('*')) == ['a.png', 'b.png', 'c', 'folder', 'new']
