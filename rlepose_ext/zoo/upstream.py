"""MMPose's own models and detectors by the names that its users know.

``td-hm_hrnet-w32_8xb64-210e_coco-256x192`` is the name of a config in MMPose's model index,
``human`` and ``rtmo`` are aliases there; ``rtmpose-m`` is what everybody says. All of them give a
config inside the installed package and the address of its weights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from rlepose_ext.errors import UserError
from rlepose_ext.zoo.files import WeightsFile, at_address

# What people say, and what MMPose's index calls it.
ALIASES = {
    **{f'rtmpose-{size}': f'rtmpose-{size}_8xb256-420e_body8-256x192' for size in 'tsm'},
    'rtmo-s': 'rtmo-s_8xb32-600e_body7-640x640',
    'rtmo-m': 'rtmo-m_16xb16-600e_body7-640x640',
    'rtmo-l': 'rtmo-l_16xb16-600e_body7-640x640',
    'hrnet-w32': 'td-hm_hrnet-w32_8xb64-210e_coco-256x192',
    'hrnet-w48': 'td-hm_hrnet-w48_udp-8xb32-210e_coco-384x288',
    'dekr': 'dekr_hrnet-w32_8xb10-140e_coco-512x512',
}
_MMDET = 'https://download.openmmlab.com/mmdetection/v3.0/rtmdet'
_RTMPOSE = 'https://download.openmmlab.com/mmpose/v1/projects/rtmposev1'
# Config inside the package, and weights. Nano and m know persons only, which makes them better.
DETECTORS = {
    'rtmdet-nano': (
        'mmpose/.mim/demo/mmdetection_cfg/rtmdet_nano_320-8xb32_coco-person.py',
        f'{_RTMPOSE}/rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e.pth',
    ),
    'rtmdet-tiny': (
        'mmdet/.mim/configs/rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        f'{_MMDET}/rtmdet_tiny_8xb32-300e_coco/'
        'rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth',
    ),
    'rtmdet-m': (
        'mmpose/.mim/demo/mmdetection_cfg/rtmdet_m_640-8xb32_coco-person.py',
        f'{_RTMPOSE}/rtmdet_m_8xb32-100e_coco-obj365-person-235e8209.pth',
    ),
}


@dataclass(frozen=True)
class Upstream:
    """A model of an installed package.

    Attributes:
        name: as its index has it.
        config: the file.
        weights: where they are, None if none are published.
    """

    name: str
    config: Path
    weights: WeightsFile | None


def upstream_detector(name: str) -> Upstream:
    """A detector of :data:`DETECTORS`.

    Raises:
        UserError: its config is not in the installed packages.
    """
    inside, url = DETECTORS[name]
    return Upstream(name, _installed(inside), at_address(url))


def upstream_model(name: str) -> Upstream | None:
    """A pose model of MMPose's index by name, by alias, or by what people say; None if unknown."""
    wanted = ALIASES.get(name, name)
    folder = _installed('mmpose/.mim/model-index.yml').parent
    index = yaml.load((folder / 'model-index.yml').read_text(encoding='utf-8'), _loader())
    # Most of the time goes into YAML: only files with the name are parsed.
    has_name = re.compile(rf'(?<![\w-]){re.escape(wanted)}(?![\w-])')
    for listed in index['Import']:
        text = (folder / listed).read_text(encoding='utf-8')
        if not has_name.search(text):
            continue
        for model in yaml.load(text, _loader())['Models']:
            if wanted == model['Name'] or wanted in _aliases(model):
                url = model.get('Weights')
                return Upstream(
                    model['Name'], folder / model['Config'], at_address(url) if url else None
                )
    return None


def _aliases(model: dict[str, Any]) -> list[str]:
    aliases = model.get('Alias') or []
    return [aliases] if isinstance(aliases, str) else list(aliases)


def _installed(inside: str) -> Path:
    package, _, rest = inside.partition('/')
    spec = find_spec(package)
    path = Path(spec.origin).parent / rest if spec and spec.origin else None
    if path is None or not path.exists():
        raise UserError(f'{rest} is not in the installed {package}: pip install {package}')
    return path


def _loader() -> Any:
    # ten times as fast as the one in Python, where libyaml is there
    return getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
