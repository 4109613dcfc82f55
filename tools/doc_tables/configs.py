"""Tables of configs: one per family, from its ``metafile.yml`` and what was measured here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from doc_tables import common
from doc_tables.common import NONE, ROOT, number, table
from rlepose_ext.zoo.cards import headline
from rlepose_ext.zoo.measured import measured_results

FAMILIES = tuple(sorted(path.parent.name for path in ROOT.glob('configs/*/metafile.yml')))
# This one has a table of its own, with what its configs differ in; a test compares it.
BY_HAND = ('simcc_rle',)


def models(family: str) -> list[dict[str, Any]]:
    """The entries of a family's metafile."""
    return yaml.safe_load((ROOT / 'configs' / family / 'metafile.yml').read_text())['Models']


def family_configs(family: str) -> Callable[[], str]:
    """A block: the configs of a family, quoted figures beside our own.

    Every folder below ``configs/`` with a metafile has one: ``show('FAMILY_configs')`` in its
    README.
    """

    def block() -> str:
        rows = []
        for model in models(family):
            stem, meta = model['Name'], model['Metadata']
            start = meta.get('Pretraining')
            rows.append(
                (
                    f'[{_short(stem)}]({stem}.py)',
                    meta['Architecture'][-1] + (f', {start}' if start else ''),
                    f'{" + ".join(meta["Training Data"])} {_size(stem)}'.rstrip(),
                    number(meta['Parameters']),
                    _quoted(model),
                    meta.get('Quoted From', NONE),
                    measured_here(stem),
                )
            )
        head = ('config', 'backbone, starts from', 'data, input', 'parameters:')
        return table((*head, 'quoted', 'quoted from', 'measured here'), rows)

    return block


def measured_here(stem: str) -> str:
    """What this project has measured of a config, or a dash."""
    cells = []
    for result in measured_results(common.RESULTS).get(stem, ()):
        ((metric, value),) = result.metrics.items()
        runs = f'{result.runs} seed{"s" if result.runs > 1 else ""}'
        cells.append(f'{metric} {value:.{3 if value <= 1 else 2}f} ({runs})')
    return ', '.join(cells) or NONE


def _short(stem: str) -> str:
    """``rle_res50_8xb64-210e_coco-256x192`` to ``rle_res50``."""
    match = re.match(r'(.+?)[_-][0-9]+xb', stem)
    return match[1] if match else stem


def _size(stem: str) -> str:
    """The input size that ends the name of a config, if one does: ``256x192``, ``640``."""
    match = re.search(r'-(\d+(?:x\d+)?)$', stem)
    return match[1] if match else ''


def _quoted(model: dict[str, Any]) -> str:
    """``AP 70.6, AR 75.3``: metrics in percent, the data set where it is not that of training."""
    cells = []
    for result in model.get('Results') or ():
        if result.get('Metrics'):
            known = result['Dataset'] in model['Metadata']['Training Data']
            on = '' if known else f' on {result["Dataset"]}'
            cells.append(headline(result['Metrics']) + on)
    return '; '.join(cells) or NONE
