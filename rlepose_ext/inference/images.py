"""Any picture as the array that networks take: (H, W, 3) uint8 BGR, upright.

OpenCV alone would do for photographs, but it silently drops what else there is: it turns
CMYK wrong, reads 16 bit as 8 bit by cutting, and lets transparent pixels show what happens
to lie under them. Pillow decodes, this module says what becomes of the rest. Where there is no
Pillow, OpenCV decodes as much as it can.
"""

from __future__ import annotations

import functools
import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.remote import download_image, is_url, shown

try:
    from PIL import Image, ImageOps, UnidentifiedImageError, features
except ImportError:  # rlepose_ext.runtime does without
    Image = None

# Photographs of phones. Pillow reads AVIF from 11.3 on, the others with pillow-heif.
HEIF_SUFFIXES = ('.avif', '.heic', '.heif')
SUFFIXES = (
    *HEIF_SUFFIXES,
    *('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'),
)
# What shows through transparent pixels.
BACKGROUND = 255
# Of OpenCV: all channels and bits, and upright, which IMREAD_UNCHANGED is not. Bytes in memory
# never go to GDAL itself. Where that fails, as with transparent grey JPEG 2000, colours alone.
_OPENCV_MODES = (cv2.IMREAD_LOAD_GDAL, cv2.IMREAD_COLOR)
# OpenCV cuts crops out of pictures with shorter sides than this only.
MAX_SIDE = 32766


def read_image(source: Any, channel_order: str = 'bgr') -> np.ndarray:
    """Read a path, an address, an array or a Pillow image.

    EXIF orientation is applied, transparency is laid on white, grey becomes three equal
    channels, 16 bit is scaled to 8 by its range of 65535, CMYK is converted.

    Args:
        source: path, http(s) address, ``PIL.Image.Image``, or array (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4): uint8, uint16, or floating-point from 0 to 1.
        channel_order: of an array's channels, ``'bgr'`` or ``'rgb'``; ignored otherwise.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        UserError: not there, empty, truncated, not an image, or an array of another kind.
    """
    if isinstance(source, str) and is_url(source):
        return decode_image(download_image(source), f'image {shown(source)}')
    if isinstance(source, np.ndarray):
        return _from_array(source, channel_order)
    if Image is not None and isinstance(source, Image.Image):
        return _from_pillow(source, 'image')
    if not isinstance(source, (str, Path)):
        raise UserError(
            f'expected a path, a numpy array or a PIL image, got {type(source).__name__}'
        )
    path = Path(source)
    try:
        if path.is_dir():
            raise UserError(f'{path} is a folder, expected an image file')
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'image {path} cannot be read: {reason}') from error
    if not content:
        raise UserError(f'image {path} is empty: copy it again')
    return decode_image(content, f'image {path}')


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode the bytes of an image file; see :func:`read_image`.

    Args:
        content: the file's bytes.
        name: what to call it in an error.
    """
    if Image is None:
        return _from_opencv(content, name)
    # In ISO media files the brand stands at the ninth byte (ISO/IEC 14496-12, section 4.3).
    if content[4:8] == b'ftyp':
        _register_heif()
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged metadata, and above 89 million pixels; it refuses above
            # twice that.
            warnings.simplefilter('ignore')
            with Image.open(io.BytesIO(content)) as image:
                return _from_pillow(image, name)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(_unknown(name)) from error
    except Exception as error:
        # Headers, orientation and conversions fail in as many ways as pixels do.
        raise UserError(f'{name} is truncated or corrupt: {error}') from error


def _unknown(name: str) -> str:
    suffix = Path(name).suffix.lower()
    if suffix == '.avif' and not features.check('avif'):
        return f"{name}: this Pillow reads no AVIF: pip install 'pillow>=11.3'"
    if suffix in HEIF_SUFFIXES and suffix != '.avif' and not _register_heif():
        return f'{name} needs the package pillow-heif: pip install pillow-heif'
    return f'{name} is no image that Pillow can decode'


@functools.cache
def _register_heif() -> bool:
    """Teach Pillow HEIC, where the package for it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def write_image(path: Path, image: np.ndarray) -> Path:
    """Write an image in the format of its suffix, whole or not at all; GIF becomes PNG.

    Args:
        path: the file; names need not be ASCII.
        image: (H, W, 3) uint8 BGR.

    Returns:
        The file.

    Raises:
        UserError: a format that OpenCV does not write, or no space.
    """
    suffix = '.png' if path.suffix.lower() == '.gif' else path.suffix
    try:
        there, content = cv2.imencode(suffix, image)
    except cv2.error as error:
        known = f'OpenCV does not write {suffix}' if suffix else 'it has no suffix'
        raise UserError(f'{path}: {known}: choose a name in .jpg or .png') from error
    if not there:
        raise UserError(f'{path}: this image cannot be written as {suffix}')
    return write_file(path.with_suffix(suffix), content.tobytes())


def write_file(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all; folders are made.

    Returns:
        The file.

    Raises:
        UserError: a folder, or it cannot be written.
    """
    part = None
    try:
        if path.is_dir():
            raise UserError(f'{path} is a folder, expected the name of a file')
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.{path.name}.part')
        part.write_bytes(content)
        part.replace(path)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if part is not None and part.exists():
            part.unlink()
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'{path} cannot be written: {reason}') from error
    return path


def _from_opencv(content: bytes, name: str) -> np.ndarray:
    buffer, image = np.frombuffer(content, np.uint8), None
    with suppress(cv2.error):  # of headers that announce too many pixels
        for mode in _OPENCV_MODES:
            if image is None:
                image = cv2.imdecode(buffer, mode)
    if image is None:
        raise UserError(f'{name} is damaged, or no image that OpenCV can decode')
    return _from_array(image if image.dtype == np.uint8 else _to_16_bit(image, name), 'bgr')


def _from_pillow(image: Image.Image, name: str) -> np.ndarray:
    # Before decoding: damaged headers announce millions of rows.
    _check_sides(image.width, image.height, name)
    try:
        image.load()
    except Exception as error:
        # Decoders raise what they like on damaged files: OSError, SyntaxError, struct.error, ...
        raise UserError(f'{name} is truncated or corrupt: {error}') from error
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(('F', 'I')):
        return _from_array(_to_16_bit(np.asarray(image), name), 'bgr')
    if image.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La') or 'transparency' in image.info:
        return _from_array(np.asarray(image.convert('RGBA')), 'rgb')
    return cv2.cvtColor(np.asarray(image.convert('RGB')), cv2.COLOR_RGB2BGR)


def _to_16_bit(array: np.ndarray, name: str) -> np.ndarray:
    """Pillow's 32 bit kinds hold what was 16 bit in the file."""
    if array.dtype == np.uint16:
        return array
    if np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f'{name} has floating-point pixels, and nothing says which value is white: save it '
            'with 8 or 16 bits'
        )
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 65535:
        raise UserError(f'{name} has values from {low:g} to {high:g}, expected 0 to 65535')
    return array.astype(np.uint16)


def _from_floats(array: np.ndarray) -> np.ndarray:
    """1 is white. Whether 255 is meant cannot be told from a dark picture, so it is not guessed."""
    low, high = float(array.min()), float(array.max())
    # NaN compares as false.
    if not (low >= 0 and high <= 1):
        raise UserError(
            f'image array: expected floating-point values from 0 to 1, got {low:g} to {high:g}. '
            'Divide by 255, or give array.astype(np.uint8), if they are from 0 to 255'
        )
    return np.round(array * 255).astype(np.uint8)


def _check_sides(width: int, height: int, name: str) -> None:
    if not 0 < min(width, height) <= max(width, height) <= MAX_SIDE:
        raise UserError(f'{name} has {width}x{height} px, expected sides of 1 to {MAX_SIDE} px')


def _from_array(array: np.ndarray, channel_order: str) -> np.ndarray:
    if channel_order not in ('bgr', 'rgb'):
        raise UserError(f"channel_order: expected 'bgr' or 'rgb', got {channel_order!r}")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise UserError(
            f'image array: expected shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), '
            f'got {array.shape}'
        )
    _check_sides(array.shape[1], array.shape[0], 'image array')
    if array.dtype == np.uint16:
        array = (array.astype(np.uint32) * 255 + 32767) // 65535
        array = array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        array = _from_floats(array)
    if array.dtype != np.uint8:
        raise UserError(
            f'image array: expected uint8, uint16, or floating-point from 0 to 1, got '
            f'{array.dtype}: array.astype(np.uint8) if its values are from 0 to 255'
        )
    if array.shape[2] == 1:
        return np.ascontiguousarray(np.repeat(array, 3, axis=2))
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        color = array[..., :3] * alpha + BACKGROUND * (255 - alpha)
        array = ((color + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(array if channel_order == 'bgr' else array[..., ::-1])
